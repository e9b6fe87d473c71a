//! How a model computes: decided once, from facts about the device and the model.
//!
//! Two starts of one command, and all ranks of one run, come to the same decision, because nothing
//! is timed.
use std::fmt;

use ebert_kernels::{
    ComputeCapability,
    fused::{FusedKernels, Widths},
};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use crate::{activation::Activation, config::BertConfig, family::Family};

/// The kind of number that layers compute in. Weights are always float32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// bfloat16 on a GPU that has it, float32 elsewhere.
    #[default]
    Auto,
    /// Single precision.
    Float32,
    /// Eight bits of mantissa.
    Bfloat16,
}

/// What a layer runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Operators of libtorch, on any device and for any model.
    Plain,
    /// On a CPU: attention and dropout of `ebert_kernels::cpu`.
    FastCpu,
    /// On a GPU: fused layers of `ebert_kernels::fused`, with libtorch's flash attention.
    Fused,
}

/// A device, as far as it decides the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceFacts {
    /// A CPU.
    Cpu,
    /// A GPU: its compute capability, or why that is unknown.
    Gpu(Result<ComputeCapability, String>),
}

impl DeviceFacts {
    /// The facts of a device.
    pub fn of(device: Device) -> Self {
        match device {
            Device::Cuda(gpu) => {
                let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
                Self::Gpu(ComputeCapability::of(gpu).map_err(|error| first_line(error.to_string())))
            }
            _ => Self::Cpu,
        }
    }
}

/// How a model computes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The kind of number.
    pub kind: Kind,
    /// What layers run on.
    pub path: Path,
    /// Why it is not the fastest path of this device, if it is not.
    pub reason: Option<String>,
}

/// The model cannot compute as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compute = \"bfloat16\" cannot be used: {reason}\nhint: leave `compute` at \"auto\", or set it to \"float32\"")]
pub struct CannotCompute {
    reason: String,
}

/// The first compute capability with bfloat16.
const BFLOAT16: ComputeCapability = ComputeCapability { major: 8, minor: 0 };

impl Decision {
    /// Decides for a model. A GPU below compute capability 8.0 has neither bfloat16 nor flash
    /// attention. Flash attention also needs heads of a multiple of 8 numbers, up to 256.
    ///
    /// # Errors
    /// If bfloat16 is demanded of a GPU that lacks it.
    pub fn of(compute: Compute, device: &DeviceFacts, config: &BertConfig) -> Result<Self, CannotCompute> {
        let plain = |kind, reason: String| Ok(Self { kind, path: Path::Plain, reason: Some(reason) });
        let capability = match (device, compute) {
            (DeviceFacts::Cpu, _) => {
                let kind = if compute == Compute::Bfloat16 { Kind::BFloat16 } else { Kind::Float };
                return Ok(Self { kind, path: Path::FastCpu, reason: None });
            }
            (_, Compute::Float32) => return plain(Kind::Float, "fast operators on a GPU are bfloat16".to_owned()),
            (DeviceFacts::Gpu(capability), _) => capability,
        };
        let demanded = compute == Compute::Bfloat16;
        let lacks = match capability {
            Ok(capability) if *capability < BFLOAT16 => {
                Some(format!("a GPU of compute capability {capability} has no bfloat16, which begins with {BFLOAT16}"))
            }
            Ok(_) => None,
            Err(why) => Some(format!("the compute capability of the GPU is unknown: {why}")),
        };
        match lacks {
            Some(reason) if demanded => return Err(CannotCompute { reason }),
            Some(reason) => return plain(Kind::Float, reason),
            None => {}
        }
        let size = config.hidden_size / config.num_attention_heads;
        if size % 8 != 0 || size > 256 {
            let reason = format!("flash attention has no heads of {size} numbers: expected a multiple of 8, up to 256");
            return plain(if demanded { Kind::BFloat16 } else { Kind::Float }, reason);
        }
        if matches!(config.family, Family::ModernBert(_)) {
            return plain(Kind::BFloat16, "no fused layers exist for ModernBERT".to_owned());
        }
        let widths = widths_of(config);
        if !widths.fit() || config.hidden_act != Activation::Gelu {
            let (Widths { hidden, inner, .. }, activation) = (widths, config.hidden_act);
            return plain(
                Kind::BFloat16,
                format!("no fused layers exist for widths of {hidden} and {inner} with {activation:?}"),
            );
        }
        Ok(Self { kind: Kind::BFloat16, path: Path::Fused, reason: None })
    }

    /// [`Decision::of`] for a device of this machine.
    ///
    /// # Errors
    /// If bfloat16 is demanded of a GPU that lacks it.
    pub fn on(compute: Compute, device: Device, config: &BertConfig) -> Result<Self, CannotCompute> {
        Self::of(compute, &DeviceFacts::of(device), config)
    }

    /// [`Decision::of`] for a CPU, in float32.
    pub fn on_cpu() -> Self {
        Self { kind: Kind::Float, path: Path::FastCpu, reason: None }
    }

    /// Plain layers, which work everywhere: what the fast paths are compared with.
    pub fn plain(kind: Kind) -> Self {
        Self { kind, path: Path::Plain, reason: Some("as asked".to_owned()) }
    }

    /// The kernels of fused layers on a device, if that is the path. If they cannot be compiled,
    /// the path becomes the plain one.
    pub(crate) fn kernels(&mut self, config: &BertConfig, device: Device) -> Option<FusedKernels> {
        let (Path::Fused, Device::Cuda(gpu)) = (self.path, device) else { return None };
        match FusedKernels::compile(widths_of(config), gpu) {
            Ok(kernels) => Some(kernels),
            Err(error) => {
                let error = error.to_string();
                self.path = Path::Plain;
                self.reason = Some(error.lines().next().unwrap_or_default().to_owned());
                None
            }
        }
    }

    /// The kind of number, as a recipe names it.
    pub fn kind_name(&self) -> &'static str {
        if self.kind == Kind::BFloat16 { "bfloat16" } else { "float32" }
    }

    /// What layers run on, for a program.
    pub fn path_name(&self) -> &'static str {
        match self.path {
            Path::Fused => "fused",
            Path::FastCpu => "fast_cpu",
            Path::Plain => "plain",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind_name();
        match self.path {
            Path::Fused => write!(f, "{kind}, fused layers with flash attention")?,
            Path::FastCpu => write!(f, "{kind}, own attention and dropout")?,
            Path::Plain => write!(f, "{kind}, plain layers")?,
        }
        self.reason.iter().try_for_each(|reason| write!(f, " ({reason})"))
    }
}

fn widths_of(config: &BertConfig) -> Widths {
    Widths { hidden: config.hidden_size, inner: config.intermediate_size, heads: config.num_attention_heads }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(hidden: i64, inner: i64, heads: i64, activation: &str) -> BertConfig {
        serde_json::from_value(serde_json::json!({
            "vocab_size": 100, "hidden_size": hidden, "num_hidden_layers": 1, "num_attention_heads": heads,
            "intermediate_size": inner, "hidden_act": activation,
        }))
        .unwrap()
    }

    #[test]
    fn the_decision_follows_from_device_and_model() {
        let gpu = |major, minor| DeviceFacts::Gpu(Ok(ComputeCapability { major, minor }));
        let unknown = DeviceFacts::Gpu(Err("no driver".to_owned()));
        let base = [768, 3072, 12];
        let (bf16, f32) = (Kind::BFloat16, Kind::Float);
        use {Compute::*, DeviceFacts::Cpu, Path::*};
        for (device, compute, [hidden, inner, heads], activation, wanted) in [
            // A CPU computes in float32 by default.
            (Cpu, Auto, base, "gelu", Some((f32, FastCpu))),
            (Cpu, Float32, base, "gelu", Some((f32, FastCpu))),
            (Cpu, Bfloat16, base, "gelu", Some((bf16, FastCpu))),
            (Cpu, Auto, [312, 1200, 12], "relu", Some((f32, FastCpu))),
            // Volta, Turing (T4, RTX 20xx): no bfloat16.
            (gpu(7, 0), Auto, base, "gelu", Some((f32, Plain))),
            (gpu(7, 5), Auto, base, "gelu", Some((f32, Plain))),
            (gpu(7, 5), Float32, base, "gelu", Some((f32, Plain))),
            (gpu(7, 5), Bfloat16, base, "gelu", None),
            // Ampere, Ada, Hopper, Blackwell.
            (gpu(8, 0), Auto, base, "gelu", Some((bf16, Fused))),
            (gpu(8, 6), Auto, base, "gelu", Some((bf16, Fused))),
            (gpu(8, 9), Bfloat16, base, "gelu", Some((bf16, Fused))),
            (gpu(9, 0), Auto, [1024, 4096, 16], "gelu", Some((bf16, Fused))),
            (gpu(10, 0), Auto, [384, 1536, 12], "gelu", Some((bf16, Fused))),
            (gpu(12, 0), Auto, base, "gelu", Some((bf16, Fused))),
            (gpu(9, 0), Float32, base, "gelu", Some((f32, Plain))),
            // TinyBERT: heads of 26 numbers; and heads that are too wide.
            (gpu(8, 0), Auto, [312, 1200, 12], "gelu", Some((f32, Plain))),
            (gpu(8, 0), Bfloat16, [312, 1200, 12], "gelu", Some((bf16, Plain))),
            (gpu(9, 0), Auto, [120, 480, 6], "gelu", Some((f32, Plain))),
            (gpu(9, 0), Auto, [1024, 4096, 2], "gelu", Some((f32, Plain))),
            // Widths and activations without kernels.
            (gpu(9, 0), Auto, [64, 256, 8], "gelu", Some((bf16, Plain))),
            (gpu(9, 0), Auto, [2048, 8192, 32], "gelu", Some((bf16, Plain))),
            (gpu(9, 0), Auto, base, "relu", Some((bf16, Plain))),
            (gpu(9, 0), Auto, base, "gelu_new", Some((bf16, Plain))),
            // A GPU that cannot be asked.
            (unknown.clone(), Auto, base, "gelu", Some((f32, Plain))),
            (unknown.clone(), Bfloat16, base, "gelu", None),
        ] {
            let found = Decision::of(compute, &device, &config(hidden, inner, heads, activation));
            let case = format!("{device:?} {compute:?} {hidden} {inner} {heads} {activation}: {found:?}");
            assert_eq!(found.as_ref().ok().map(|d| (d.kind, d.path)), wanted, "{case}");
            if let Ok(decision) = found {
                assert_eq!(decision.reason.is_some(), decision.path == Plain, "{case}");
            }
        }
    }

    #[test]
    fn a_modernbert_has_plain_layers_on_a_gpu() {
        let modern = BertConfig { family: Family::ModernBert(Default::default()), ..config(768, 3072, 12, "gelu") };
        let hopper = DeviceFacts::Gpu(Ok(ComputeCapability { major: 9, minor: 0 }));
        assert_eq!(
            Decision::of(Compute::Auto, &hopper, &modern).unwrap().to_string(),
            "bfloat16, plain layers (no fused layers exist for ModernBERT)"
        );
        assert_eq!(Decision::of(Compute::Auto, &DeviceFacts::Cpu, &modern).unwrap().path, Path::FastCpu);
    }

    #[test]
    fn the_decision_can_be_read() {
        let small = config(312, 1200, 12, "gelu");
        let t4 = DeviceFacts::Gpu(Ok(ComputeCapability { major: 7, minor: 5 }));
        assert_eq!(
            Decision::of(Compute::Auto, &t4, &small).unwrap().to_string(),
            "float32, plain layers (a GPU of compute capability 7.5 has no bfloat16, which begins with 8.0)"
        );
        assert_eq!(
            Decision::of(Compute::Auto, &DeviceFacts::Cpu, &small).unwrap().to_string(),
            "float32, own attention and dropout"
        );
        let error = Decision::of(Compute::Bfloat16, &t4, &small).unwrap_err().to_string();
        assert!(error.contains("has no bfloat16") && error.contains("hint: leave `compute` at"), "{error}");
    }
}
