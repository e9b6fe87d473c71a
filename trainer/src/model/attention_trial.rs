//! Whose attention a GPU uses: libtorch's, or that of `native/attention.cu`. Both are tried before a model is used, and the faster one for this GPU
//! and shape is taken; ours must give what libtorch's gives. The environment can ask for one of them.
use std::{
    fmt,
    time::{Duration, Instant},
};

use tch::{Cuda, Device, Kind, Tensor};

use super::config::BertConfig;
use crate::native::{
    self, TorchError,
    fused::{FusedKernels, Sequences},
};

/// What a trial found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AttentionTrial {
    /// How far results and gradients of both are apart, in their usual size.
    difference: f64,
    /// What forward and backward pass take.
    ours: Duration,
    libtorch: Duration,
}

/// Results that are rounded to bfloat16 on the way differ by less than a quarter of this.
const ALIKE: f64 = 0.02;
/// Ours must be this much faster, so that two tries of one GPU do not choose differently by chance.
const CLEARLY: f64 = 0.95;
/// Tokens of the longest sequence that is tried.
const LONGEST: i64 = 512;

/// Shares of the longest sequence that is tried: as in reviews, a few are cut and most are short.
const LENGTHS: [f64; 10] = [1.0, 1.0, 0.6, 0.4, 0.25, 0.15, 0.1, 0.1, 0.05, 0.05];
/// So many times.
const SEQUENCES: usize = 16;

/// The environment variable that decides.
pub const VARIABLE: &str = "EBERT_ATTENTION";

/// Whose attention a GPU uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    /// libtorch's.
    Libtorch,
    /// That of `attention.cu`.
    Own,
    /// The faster one.
    #[default]
    Trial,
}

impl Choice {
    /// What the environment says.
    ///
    /// # Errors
    /// When it says nothing known.
    pub(super) fn of_environment() -> Result<Self, String> {
        Self::of(std::env::var(VARIABLE).ok().as_deref())
    }

    fn of(variable: Option<&str>) -> Result<Self, String> {
        match variable {
            None | Some("" | "trial") => Ok(Self::Trial),
            Some("libtorch") => Ok(Self::Libtorch),
            Some("own") => Ok(Self::Own),
            Some(other) => Err(format!("{VARIABLE} is `{other}`, wanted libtorch, own or trial")),
        }
    }

    /// Whether the code of `attention.cu` is needed.
    pub(super) fn needs_own(self) -> bool {
        self != Self::Libtorch
    }
}

/// Why libtorch's attention is used where ours fails.
pub(super) fn failed(error: &TorchError) -> String {
    let text = error.to_string();
    format!("attention of libtorch: ours fails: {}", text.lines().next().unwrap_or_default())
}

/// Has the code for a GPU use the attention of a choice. Gives which it is, and why.
pub(super) fn choose(choice: Choice, kernels: &mut FusedKernels, config: &BertConfig, device: Device) -> String {
    match choice {
        Choice::Libtorch => return "attention of libtorch".to_owned(),
        _ if !kernels.has_attention() => {
            return "attention of libtorch: there is none of ours for heads of this width".to_owned();
        }
        Choice::Own => return "attention of attention.cu".to_owned(),
        Choice::Trial => {}
    }
    let tried = AttentionTrial::run(kernels, config, device);
    if !tried.as_ref().is_ok_and(AttentionTrial::ours_is_better) {
        kernels.use_attention_of_libtorch();
    }
    tried.map_or_else(|error| failed(&error), |trial| trial.to_string())
}

impl AttentionTrial {
    /// Tries both, on sequences up to the longest of a model or [`LONGEST`], in some tens of milliseconds.
    ///
    /// # Errors
    /// When one of them fails.
    pub(super) fn run(kernels: &FusedKernels, config: &BertConfig, device: Device) -> Result<Self, TorchError> {
        let (heads, dropout) = (config.num_attention_heads, config.attention_probs_dropout_prob);
        let mut lengths = LENGTHS.repeat(SEQUENCES);
        lengths.sort_by(|a, b| b.total_cmp(a));
        let longest = config.max_position_embeddings.min(LONGEST) as f64;
        let lengths: Vec<usize> = lengths.iter().map(|share| (share * longest).ceil() as usize).collect();
        let tokens = lengths.iter().sum::<usize>() as i64;
        let sequences = Sequences::new(&lengths, |numbers| Tensor::from_slice(numbers).to_device(device));
        // Numbers of no pattern, without a draw from a generator that training uses. Of the size of inputs, so that results do not cancel out.
        let numbers = |step: f64| {
            let angles = Tensor::arange(tokens * config.hidden_size, (Kind::Double, device)) * step;
            ((angles.sin() * 1e4).frac() * 2.0).view([tokens, config.hidden_size]).to_kind(Kind::BFloat16)
        };
        let inputs = [1.1, 1.7, 2.3].map(|step| numbers(step).set_requires_grad(true));
        let gradient = numbers(2.9);
        let pass = |ours: bool, dropout: f64| -> Result<[Tensor; 4], TorchError> {
            let [q, k, v] = &inputs;
            let seen = match ours {
                true => kernels.attention([q, k, v], &sequences, dropout, 0)?,
                false => native::flash_attention([q, k, v], &sequences, heads, dropout)?,
            };
            let [dq, dk, dv] = Tensor::f_run_backward(&[(&seen * &gradient).sum(Kind::Float)], &inputs, false, false)
                .map_err(|error| TorchError(error.to_string()))?
                .try_into()
                .map_err(|_| TorchError("there are not three gradients".to_owned()))?;
            Ok([seen.detach(), dq, dk, dv])
        };
        let mut difference: f64 = 0.0;
        for (found, wanted) in pass(true, 0.0)?.iter().zip(&pass(false, 0.0)?) {
            let [found, wanted] = [found, wanted].map(|tensor| tensor.to_kind(Kind::Float));
            let apart = (&found - &wanted).square().mean(Kind::Float) / wanted.square().mean(Kind::Float);
            let apart = apart.double_value(&[]).sqrt();
            difference = if apart.is_nan() { f64::INFINITY } else { difference.max(apart) };
        }
        let Device::Cuda(gpu) = device else { return Err(TorchError("attention is tried on a GPU alone".to_owned())) };
        // The fastest of some, in turn: the first passes find no memory yet, and a GPU's clock rises.
        let [mut ours, mut libtorch] = [Duration::MAX; 2];
        for _ in 0..5 {
            for (is_ours, fastest) in [(true, &mut ours), (false, &mut libtorch)] {
                Cuda::synchronize(gpu as i64);
                let start = Instant::now();
                drop(pass(is_ours, dropout)?);
                Cuda::synchronize(gpu as i64);
                *fastest = (*fastest).min(start.elapsed());
            }
        }
        Ok(Self { difference, ours, libtorch })
    }

    /// Whether ours gives the same, and is clearly faster.
    pub(super) fn ours_is_better(&self) -> bool {
        self.difference < ALIKE && self.ours < self.libtorch.mul_f64(CLEARLY)
    }
}

impl fmt::Display for AttentionTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, libtorch] = [self.ours, self.libtorch].map(|time| time.as_secs_f64() * 1e3);
        if self.ours_is_better() {
            write!(f, "attention of attention.cu ({ours:.2} ms in a trial, libtorch's {libtorch:.2})")
        } else if self.difference >= ALIKE {
            write!(f, "attention of libtorch: that of attention.cu differs by {:.3} on this GPU", self.difference)
        } else {
            write!(
                f,
                "attention of libtorch ({libtorch:.2} ms in a trial, that of attention.cu, not clearly faster, {ours:.2})"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_by_words_that_are_known() {
        assert_eq!(Choice::of(None), Ok(Choice::Trial));
        assert_eq!(Choice::of(Some("libtorch")), Ok(Choice::Libtorch));
        assert_eq!(Choice::of(Some("own")), Ok(Choice::Own));
        assert_eq!(Choice::of(Some("trial")), Ok(Choice::Trial));
        assert!(Choice::of(Some("trail")).unwrap_err().contains("`trail`, wanted libtorch, own or trial"));
    }

    #[test]
    fn the_faster_one_is_used_where_they_agree() {
        let [fast, slow] = [1, 2].map(Duration::from_millis);
        let trial = |difference, ours, libtorch| AttentionTrial { difference, ours, libtorch };
        assert!(trial(0.004, fast, slow).ours_is_better());
        assert!(!trial(0.004, slow.mul_f64(0.97), slow).ours_is_better());
        assert!(!trial(0.004, slow, fast).ours_is_better());
        assert!(!trial(0.5, fast, slow).ours_is_better());
        assert!(!trial(f64::INFINITY, fast, slow).ours_is_better());
        assert_eq!(
            trial(0.5, fast, slow).to_string(),
            "attention of libtorch: that of attention.cu differs by 0.500 on this GPU"
        );
    }
}
