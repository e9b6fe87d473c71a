//! Several processes that train one model: which of them this is, and what they exchange.
//!
//! They are started by `torchrun --no-python`, or by anything else that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT (and
//! LOCAL_RANK where a machine has several GPUs). Every rank draws the same global batches and takes its share of each; gradients and
//! losses are summed over the ranks before anything is decided by them, so that all ranks stay alike. Rank 0 alone writes.
use std::{env, path::PathBuf, time::Duration};

use tch::{Device, Tensor};

use ebert_kernels::{
    TorchError,
    group::{self, Group, Meeting},
};

/// Which of the processes this one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// This process, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// This process among those of its machine: its GPU.
    pub local: usize,
    /// Where they meet, if there are several.
    store: Option<Store>,
}

/// Where ranks meet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Store {
    host: String,
    port: u16,
    /// Whether rank 0 serves it; `torchrun` may do so itself.
    own: bool,
    /// What tells a restart from what was before.
    name: String,
    /// How long an exchange may take.
    exchange: Duration,
}

/// The processes cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The environment does not say who this is.
    #[error(
        "{name} is {found}, wanted {wanted}\n\
         hint: start the processes with `torchrun --no-python --nproc-per-node=N -- trainer pretrain …`, or set RANK, WORLD_SIZE, MASTER_ADDR \
         and MASTER_PORT for each"
    )]
    Environment {
        /// The variable.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        wanted: String,
    },
    /// There is nothing to exchange with.
    #[error("this build has no {backend}, which several processes need\nhint: {hint}")]
    NoBackend {
        /// What is missing.
        backend: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The others did not come.
    #[error(
        "rank {rank} of {size} did not meet the others at {host}:{port}\n\
         hint: are all of them started, and can they reach that port of rank 0's machine?"
    )]
    Join {
        /// This process.
        rank: usize,
        /// How many there are.
        size: usize,
        /// Where.
        host: String,
        /// Its port.
        port: u16,
        /// What libtorch says.
        #[source]
        source: TorchError,
    },
    /// Another process is gone, or stuck.
    #[error(
        "rank {rank} of {size} lost another rank while it {doing}\n\
         hint: the other processes' messages say why; the same command again goes on from the last checkpoint, with any number of processes"
    )]
    Lost {
        /// This process.
        rank: usize,
        /// How many there were.
        size: usize,
        /// What was going on.
        doing: &'static str,
        /// What libtorch says.
        #[source]
        source: TorchError,
    },
}

/// How long all processes may take to come.
const JOIN: Duration = Duration::from_secs(300);
/// How long an exchange may take: then another rank is taken to be lost. EBERT_RANK_SECONDS sets it.
const EXCHANGE: Duration = Duration::from_secs(50);

impl Ranks {
    /// One process by itself.
    pub fn alone() -> Self {
        Self { rank: 0, size: 1, local: 0, store: None }
    }

    /// What the environment says; alone where it says nothing.
    ///
    /// # Errors
    /// When it says what cannot be.
    pub fn from_environment() -> Result<Self, WorldError> {
        Self::read(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, WorldError> {
        let number = |name: &'static str, most: usize, wanted: &str| {
            let Some(found) = get(name) else { return Ok(None) };
            match found.parse::<usize>() {
                Ok(n) if n <= most => Ok(Some(n)),
                _ => Err(WorldError::Environment { name, found: format!("`{found}`"), wanted: wanted.to_owned() }),
            }
        };
        let absent = |name, wanted: &str| WorldError::Environment {
            name,
            found: "not set".to_owned(),
            wanted: wanted.to_owned(),
        };
        let zero =
            |name, wanted: &str| WorldError::Environment { name, found: "`0`".to_owned(), wanted: wanted.to_owned() };
        let wanted = "a number of processes, from 1 to 65,536";
        let size = match number("WORLD_SIZE", 1 << 16, wanted)? {
            None | Some(1) => return Ok(Self::alone()),
            Some(0) => return Err(zero("WORLD_SIZE", wanted)),
            Some(size) => size,
        };
        let wanted = format!("a number from 0 to {}", size - 1);
        let rank = number("RANK", size - 1, &wanted)?.ok_or_else(|| absent("RANK", &wanted))?;
        let local = number("LOCAL_RANK", size - 1, &wanted)?.unwrap_or(0);
        let host = get("MASTER_ADDR").ok_or_else(|| absent("MASTER_ADDR", "the host of rank 0"))?;
        let port = number("MASTER_PORT", usize::from(u16::MAX), "a port")?;
        let port = port.ok_or_else(|| absent("MASTER_PORT", "a port of that host"))? as u16;
        let own = get("TORCHELASTIC_USE_AGENT_STORE").as_deref() != Some("True");
        let name = format!("ebert/{}", get("TORCHELASTIC_RESTART_COUNT").unwrap_or_default());
        let wanted = "a number of seconds, from 1 to 86,400";
        let exchange = match number("EBERT_RANK_SECONDS", 86_400, wanted)? {
            Some(0) => return Err(zero("EBERT_RANK_SECONDS", wanted)),
            seconds => seconds.map_or(EXCHANGE, |seconds| Duration::from_secs(seconds as u64)),
        };
        Ok(Self { rank, size, local, store: Some(Store { host, port, own, name, exchange }) })
    }

    /// Whether this process writes and talks.
    pub fn leads(&self) -> bool {
        self.rank == 0
    }
}

/// The processes at work.
#[derive(Debug)]
pub struct World {
    ranks: Ranks,
    group: Option<Group>,
}

impl World {
    /// One process by itself.
    pub fn alone() -> Self {
        Self { ranks: Ranks::alone(), group: None }
    }

    /// Meets the others, if there are any.
    ///
    /// # Errors
    /// When this build cannot exchange on such a device, or the others do not come.
    pub fn join(ranks: Ranks, device: Device) -> Result<Self, WorldError> {
        let Some(store) = &ranks.store else { return Ok(Self { ranks, group: None }) };
        let nccl = if device.is_cuda() {
            let library = nccl_library();
            Some(library.ok_or(WorldError::NoBackend {
                backend: "NCCL",
                hint: "build with `make` where torch's CUDA wheels are installed; libebert_nccl.so stands beside the program",
            })?)
        } else if group::has_gloo() {
            None
        } else {
            let hint = "install Gloo's headers (Debian: libgloo-dev) and build with `make` again";
            return Err(WorldError::NoBackend { backend: "Gloo", hint });
        };
        let meeting = Meeting {
            rank: ranks.rank,
            size: ranks.size,
            host: &store.host,
            port: store.port,
            serve: store.own && ranks.rank == 0,
            name: &store.name,
            join: JOIN,
            exchange: store.exchange,
        };
        let group = Group::join(&meeting, nccl.as_deref()).map_err(|source| WorldError::Join {
            rank: ranks.rank,
            size: ranks.size,
            host: store.host.clone(),
            port: store.port,
            source,
        })?;
        Ok(Self { ranks, group: Some(group) })
    }

    /// Which of them this is.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.ranks.size
    }

    /// Whether this process writes and talks.
    pub fn leads(&self) -> bool {
        self.ranks.leads()
    }

    /// Which of `many` things in a row are this process's share: every size-th.
    pub fn share(&self, many: usize) -> impl Iterator<Item = usize> + use<> {
        (self.ranks.rank..many).step_by(self.ranks.size)
    }

    /// Replaces each tensor by its sum over the ranks. All are of one kind of number.
    pub fn sum(&self, tensors: &[Tensor], doing: &'static str) -> Result<(), WorldError> {
        self.with_group((), doing, |group| group.sum(tensors))
    }

    /// Replaces each tensor by that of rank 0. All are of one kind of number.
    pub fn spread(&self, tensors: &[Tensor], doing: &'static str) -> Result<(), WorldError> {
        self.with_group((), doing, |group| group.spread(tensors))
    }

    /// Gives all ranks what rank 0 says under a name that is used once.
    pub fn agree(&self, name: &str, said: String) -> Result<String, WorldError> {
        let leads = self.leads();
        self.with_group(None, "agreed on where the run is", |group| match leads {
            true => group.tell(name, &said).map(|()| None),
            false => group.hear(name).map(Some),
        })
        .map(|heard| heard.unwrap_or(said.clone()))
    }

    /// Has every rank tell rank 0 something, under a name that is used once, and gives all of them what `judge` makes of what the others
    /// said, each with its rank.
    pub fn judge(
        &self,
        name: &str,
        said: &str,
        judge: impl FnOnce(Vec<(usize, String)>) -> String,
    ) -> Result<String, WorldError> {
        let (rank, size) = (self.ranks.rank, self.ranks.size);
        let of = |rank: usize| format!("{name}/{rank}");
        self.with_group(String::new(), "compared what it trains", |group| {
            if rank > 0 {
                group.tell(&of(rank), said)?;
                return group.hear(name);
            }
            let others: Result<_, _> = (1..size).map(|rank| Ok((rank, group.hear(&of(rank))?))).collect();
            let judgement = judge(others?);
            group.tell(name, &judgement)?;
            Ok(judgement)
        })
    }

    /// Parts in order, when all ranks are through. Nothing is exchanged any more.
    pub fn finish(&mut self) {
        // All is done: a rank that has gone already, or takes long, is no failure of this one.
        let _ = self.group.take().map(Group::finish);
    }

    fn with_group<T>(
        &self,
        alone: T,
        doing: &'static str,
        exchange: impl FnOnce(&Group) -> Result<T, TorchError>,
    ) -> Result<T, WorldError> {
        let Some(group) = &self.group else { return Ok(alone) };
        let (rank, size) = (self.ranks.rank, self.ranks.size);
        exchange(group).map_err(|source| WorldError::Lost { rank, size, doing, source })
    }
}

/// The library with the GPUs' backend, beside this program.
fn nccl_library() -> Option<PathBuf> {
    let path = env::current_exe().ok()?.with_file_name("libebert_nccl.so");
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(variables: &[(&str, &str)]) -> Result<Ranks, String> {
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Ranks::read(get).map_err(|e| e.to_string())
    }

    #[test]
    fn the_environment_says_who_this_is() {
        assert_eq!(ranks(&[]), Ok(Ranks::alone()));
        assert_eq!(ranks(&[("WORLD_SIZE", "1"), ("RANK", "0")]), Ok(Ranks::alone()));
        let four = [("WORLD_SIZE", "4"), ("RANK", "3"), ("MASTER_ADDR", "node0"), ("MASTER_PORT", "29500")];
        let found = ranks(&four).unwrap();
        assert_eq!((found.rank, found.size, found.local, found.leads()), (3, 4, 0, false));
        assert!(found.store.unwrap().own);
        let elastic = [&four[..], &[("LOCAL_RANK", "1"), ("TORCHELASTIC_USE_AGENT_STORE", "True")]].concat();
        let found = ranks(&elastic).unwrap();
        assert!(found.local == 1 && !found.store.unwrap().own);
        for (variables, message) in [
            (vec![("WORLD_SIZE", "two")], "WORLD_SIZE is `two`"),
            (vec![("WORLD_SIZE", "0")], "WORLD_SIZE is `0`, wanted a number of processes"),
            (
                [&four[..], &[("EBERT_RANK_SECONDS", "abc")]].concat(),
                "EBERT_RANK_SECONDS is `abc`, wanted a number of sec",
            ),
            (vec![("WORLD_SIZE", "2")], "RANK is not set"),
            (vec![("WORLD_SIZE", "2"), ("RANK", "2")], "RANK is `2`, wanted a number from 0 to 1"),
            (vec![("WORLD_SIZE", "2"), ("RANK", "1")], "MASTER_ADDR is not set"),
        ] {
            let error = ranks(&variables).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
