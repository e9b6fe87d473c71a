//! Several processes that train one model: the rank of this process, and the exchange between
//! ranks.
//!
//! They are started by `torchrun --no-python`, or by anything else that sets RANK, WORLD_SIZE,
//! MASTER_ADDR and MASTER_PORT (and LOCAL_RANK on a machine with several GPUs). Every rank draws
//! the same global batches and computes its part of each. Gradients and losses are summed over the
//! ranks before anything depends on them, so all ranks hold the same state. Only rank 0 writes
//! files and prints.
use std::{env, path::PathBuf, time::Duration};

use tch::{Device, Kind, Tensor};

use ebert_kernels::{
    TorchError,
    group::{self, Group, Rendezvous},
};

/// The rank of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// The rank, from 0.
    pub rank: usize,
    /// Number of processes.
    pub size: usize,
    /// The rank among the processes of this machine: the number of its GPU.
    pub local_rank: usize,
    /// Where the ranks meet, if there are several.
    store: Option<Store>,
}

/// Where ranks meet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Store {
    host: String,
    port: u16,
    /// Whether rank 0 serves it; `torchrun` may do so itself.
    own: bool,
    /// Prefix of its keys, which differs between restarts of `torchrun`.
    prefix: String,
    /// Time that an exchange may take.
    exchange_timeout: Duration,
}

/// The processes cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A variable of the environment is missing or wrong.
    #[error(
        "{name} is {found}, expected {wanted}\nhint: {}",
        if *name == SECONDS { "set it to 600, or unset it" } else { STARTING }
    )]
    Environment {
        /// The variable.
        name: &'static str,
        /// Its value.
        found: String,
        /// The values that it may have.
        wanted: String,
    },
    /// This build lacks the backend for the device.
    #[error("this build has no {backend}, which several processes need\nhint: {hint}")]
    NoBackend {
        /// What is missing.
        backend: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The other processes did not join in time.
    #[error(
        "rank {rank} of {size} did not meet the others at {host}:{port}\n\
         hint: are all of them started, and can they reach that port of rank 0's machine? If one still checked its shards, \
         give them more time with EBERT_RANK_SECONDS"
    )]
    Join {
        /// The rank of this process.
        rank: usize,
        /// Number of processes.
        size: usize,
        /// Host of the store.
        host: String,
        /// Its port.
        port: u16,
        /// libtorch's error.
        #[source]
        source: TorchError,
    },
    /// Another process has ended or hangs.
    #[error(
        "rank {rank} of {size} lost another rank while it {doing}\n\
         hint: the other processes' messages show why; if none failed, give them more time with EBERT_RANK_SECONDS; the same command \
         resumes from the last checkpoint, with any number of processes"
    )]
    Lost {
        /// The rank of this process.
        rank: usize,
        /// Number of processes.
        size: usize,
        /// What this process did, as the message has it.
        doing: &'static str,
        /// libtorch's error.
        #[source]
        source: TorchError,
    },
}

/// The variable that sets [`EXCHANGE`].
const SECONDS: &str = "EBERT_RANK_SECONDS";

const STARTING: &str = "start the processes with `torchrun --no-python --nproc-per-node=N -- ebert pretrain …`, or set RANK, \
                        WORLD_SIZE, MASTER_ADDR and MASTER_PORT for each";

/// Time until all processes must have joined, and that an exchange may take before another rank counts as lost.
/// EBERT_RANK_SECONDS sets it. It must be longer than rank 0 needs to save a checkpoint, since the other ranks wait for
/// that. Each process checks all shards before it joins.
const EXCHANGE: Duration = Duration::from_secs(600);

impl Ranks {
    /// A single process.
    pub fn alone() -> Self {
        Self { rank: 0, size: 1, local_rank: 0, store: None }
    }

    /// Reads the environment; without the variables this is a single process.
    ///
    /// # Errors
    /// If a variable is missing, is not a number, or is out of range.
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
        let local_rank = number("LOCAL_RANK", size - 1, &wanted)?.unwrap_or(0);
        let host = get("MASTER_ADDR").ok_or_else(|| absent("MASTER_ADDR", "the host of rank 0"))?;
        let port = number("MASTER_PORT", usize::from(u16::MAX), "a port")?;
        let port = port.ok_or_else(|| absent("MASTER_PORT", "a port of that host"))? as u16;
        let own = get("TORCHELASTIC_USE_AGENT_STORE").as_deref() != Some("True");
        let prefix = format!("ebert/{}", get("TORCHELASTIC_RESTART_COUNT").unwrap_or_default());
        let wanted = "a number of seconds, from 1 to 86,400";
        let exchange_timeout = match number(SECONDS, 86_400, wanted)? {
            Some(0) => return Err(zero(SECONDS, wanted)),
            seconds => seconds.map_or(EXCHANGE, |seconds| Duration::from_secs(seconds as u64)),
        };
        Ok(Self { rank, size, local_rank, store: Some(Store { host, port, own, prefix, exchange_timeout }) })
    }

    /// Whether this is rank 0, which writes files and prints.
    pub fn is_main(&self) -> bool {
        self.rank == 0
    }
}

/// A text that another rank sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankText {
    /// Its rank.
    pub rank: usize,
    /// The text.
    pub text: String,
}

/// All processes of a run, as this one sees them.
#[derive(Debug)]
pub struct World {
    ranks: Ranks,
    group: Option<Group>,
}

impl World {
    /// A single process.
    pub fn alone() -> Self {
        Self { ranks: Ranks::alone(), group: None }
    }

    /// Joins the other processes, if there are any.
    ///
    /// # Errors
    /// If this build has no backend for the device, or the others do not join in time.
    pub fn join(ranks: Ranks, device: Device) -> Result<Self, WorldError> {
        let Some(store) = &ranks.store else { return Ok(Self { ranks, group: None }) };
        let nccl = if device.is_cuda() {
            let library = nccl_library();
            Some(library.ok_or(WorldError::NoBackend {
                backend: "NCCL",
                hint: "build with `make` where torch's CUDA wheels are installed; libebert_nccl.so belongs next to the program",
            })?)
        } else if group::has_gloo() {
            None
        } else {
            let hint = "install Gloo's headers (Debian: libgloo-dev) and build with `make` again";
            return Err(WorldError::NoBackend { backend: "Gloo", hint });
        };
        let rendezvous = Rendezvous {
            rank: ranks.rank,
            world_size: ranks.size,
            host: &store.host,
            port: store.port,
            serves_store: store.own && ranks.rank == 0,
            prefix: &store.prefix,
            join_timeout: store.exchange_timeout,
            exchange_timeout: store.exchange_timeout,
        };
        let group = Group::join(&rendezvous, nccl.as_deref()).map_err(|source| WorldError::Join {
            rank: ranks.rank,
            size: ranks.size,
            host: store.host.clone(),
            port: store.port,
            source,
        })?;
        Ok(Self { ranks, group: Some(group) })
    }

    /// The rank of this process.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.ranks.size
    }

    /// Whether this is rank 0, which writes files and prints.
    pub fn is_main(&self) -> bool {
        self.ranks.is_main()
    }

    /// The indices below `count` that belong to this rank: every size-th.
    pub fn indices_of_rank(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        (self.ranks.rank..count).step_by(self.ranks.size)
    }

    /// Replaces each tensor by its sum over the ranks. All tensors have one kind and device.
    ///
    /// # Errors
    /// If another rank is lost; `doing` completes the message.
    pub fn all_reduce(&self, tensors: &[Tensor], doing: &'static str) -> Result<(), WorldError> {
        self.with_group((), doing, |group| group.all_reduce(tensors))
    }

    /// Replaces each tensor by that of rank 0. All tensors have one kind and device.
    ///
    /// # Errors
    /// As [`World::all_reduce`].
    pub fn broadcast(&self, tensors: &[Tensor], doing: &'static str) -> Result<(), WorldError> {
        self.with_group((), doing, |group| group.broadcast(tensors))
    }

    /// Waits until all ranks are here. `device` is that of the tensors that they exchange.
    ///
    /// # Errors
    /// As [`World::all_reduce`].
    pub fn barrier(&self, device: Device, doing: &'static str) -> Result<(), WorldError> {
        self.with_group((), doing, |group| {
            let nothing = Tensor::zeros([1], (Kind::Float, device));
            group.all_reduce(&[nothing.shallow_clone()])?;
            // NCCL only queues the exchange on the GPU: reading the result waits for it.
            nothing.f_double_value(&[0]).map(drop).map_err(|error| TorchError(error.to_string()))
        })
    }

    /// Sends the text of rank 0 to all ranks. Each `key` is used once.
    ///
    /// # Errors
    /// As [`World::all_reduce`].
    pub fn broadcast_text(&self, key: &str, text: String) -> Result<String, WorldError> {
        let is_main = self.is_main();
        self.with_group(None, "agreed on where the run is", |group| match is_main {
            true => group.set(key, &text).map(|()| None),
            false => group.get(key).map(Some),
        })
        .map(|received| received.unwrap_or(text))
    }

    /// Sends the text of every rank to rank 0, and gives all ranks the text that `decide` makes of
    /// those of the other ranks. Each `key` is used once.
    ///
    /// # Errors
    /// As [`World::all_reduce`].
    pub fn decide_on_main(
        &self,
        key: &str,
        text: &str,
        decide: impl FnOnce(Vec<RankText>) -> String,
    ) -> Result<String, WorldError> {
        let (rank, size) = (self.ranks.rank, self.ranks.size);
        let key_of = |rank: usize| format!("{key}/{rank}");
        self.with_group(String::new(), "compared what it trains", |group| {
            if rank > 0 {
                group.set(&key_of(rank), text)?;
                return group.get(key);
            }
            let others = (1..size).map(|rank| Ok(RankText { rank, text: group.get(&key_of(rank))? }));
            let decision = decide(others.collect::<Result<_, TorchError>>()?);
            group.set(key, &decision)?;
            Ok(decision)
        })
    }

    /// Leaves the group, once all ranks are done. Nothing is exchanged after it.
    pub fn finish(&mut self) {
        // All work is done: a rank that has left already, or takes long, is not a failure of this
        // one.
        let _ = self.group.take().map(Group::shutdown);
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

/// The library with the NCCL backend, in the folder of this program.
fn nccl_library() -> Option<PathBuf> {
    let path = env::current_exe().ok()?.with_file_name("libebert_nccl.so");
    path.is_file().then_some(path)
}

#[cfg(test)]
#[path = "../kernels/tests/support/port.rs"]
mod port;

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::{port::free_port, *};

    /// Runs `body` as each rank of a group in threads of this process, and gives the results by
    /// rank. `None` if this build has no Gloo.
    fn with_ranks<T: Send>(size: usize, body: impl Fn(World) -> T + Sync) -> Option<Vec<T>> {
        if !group::has_gloo() {
            println!("skipped: built without Gloo");
            return None;
        }
        let port = free_port();
        let world = |rank| {
            let exchange_timeout = Duration::from_secs(60);
            let store =
                Store { host: "127.0.0.1".to_owned(), port, own: true, prefix: "test".to_owned(), exchange_timeout };
            World::join(Ranks { rank, size, local_rank: rank, store: Some(store) }, Device::Cpu).unwrap()
        };
        Some(thread::scope(|scope| {
            let (world, body) = (&world, &body);
            let threads: Vec<_> = (0..size).map(|rank| scope.spawn(move || body(world(rank)))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        }))
    }

    #[test]
    fn a_barrier_waits_for_the_last_rank() {
        let is_there = AtomicBool::new(false);
        let Some(waited) = with_ranks(3, |world| {
            world.barrier(Device::Cpu, "met the others").unwrap();
            if world.is_main() {
                thread::sleep(Duration::from_millis(300));
                is_there.store(true, Ordering::SeqCst);
            }
            world.barrier(Device::Cpu, "waited for rank 0").unwrap();
            is_there.load(Ordering::SeqCst)
        }) else {
            return;
        };
        assert_eq!(waited, [true; 3]);
    }

    #[test]
    fn a_single_process_waits_for_nobody() {
        World::alone().barrier(Device::Cpu, "waited").unwrap();
        assert_eq!(World::alone().broadcast_text("key", "text".to_owned()).unwrap(), "text");
    }

    #[test]
    fn texts_reach_all_ranks() {
        let Some(found) = with_ranks(3, |world| {
            let rank = world.ranks().rank;
            let text = world.broadcast_text("state", format!("state of {rank}")).unwrap();
            let decision =
                world.decide_on_main("run", &format!("rank {rank}"), |others| format!("{others:?}")).unwrap();
            let mut indices = world.indices_of_rank(7).collect::<Vec<_>>();
            indices.truncate(2);
            (text, decision, indices)
        }) else {
            return;
        };
        let others = [1, 2].map(|rank| RankText { rank, text: format!("rank {rank}") });
        for (rank, (text, decision, indices)) in found.into_iter().enumerate() {
            assert_eq!((text.as_str(), decision), ("state of 0", format!("{:?}", others.to_vec())));
            assert_eq!(indices, [rank, rank + 3]);
        }
    }

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
        assert_eq!((found.rank, found.size, found.local_rank, found.is_main()), (3, 4, 0, false));
        let store = found.store.unwrap();
        assert!(store.own && store.exchange_timeout == EXCHANGE);
        let seconds = ranks(&[&four[..], &[("EBERT_RANK_SECONDS", "7")]].concat()).unwrap().store.unwrap();
        assert_eq!(seconds.exchange_timeout, Duration::from_secs(7));
        let elastic = [&four[..], &[("LOCAL_RANK", "1"), ("TORCHELASTIC_USE_AGENT_STORE", "True")]].concat();
        let found = ranks(&elastic).unwrap();
        assert!(found.local_rank == 1 && !found.store.unwrap().own);
        for (variables, message) in [
            (vec![("WORLD_SIZE", "two")], "WORLD_SIZE is `two`"),
            (vec![("WORLD_SIZE", "0")], "WORLD_SIZE is `0`, expected a number of processes"),
            (
                [&four[..], &[("EBERT_RANK_SECONDS", "abc")]].concat(),
                "EBERT_RANK_SECONDS is `abc`, expected a number of sec",
            ),
            (vec![("WORLD_SIZE", "2")], "RANK is not set"),
            (vec![("WORLD_SIZE", "2"), ("RANK", "2")], "RANK is `2`, expected a number from 0 to 1"),
            (vec![("WORLD_SIZE", "2"), ("RANK", "1")], "MASTER_ADDR is not set"),
        ] {
            let error = ranks(&variables).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
