//! BERT on a GPU: fused kernels for the operators between the matrix products of its layers, and
//! for cross entropy. Attention is libtorch's flash attention (Dao 2023).
use std::{
    ffi::{CString, c_char, c_int},
    ptr::NonNull,
};

use tch::Tensor;

use super::{ComputeCapability, NativeError, TorchError, checked, pointers, torch_sys_pointer::C_tensor, upload};

#[repr(C)]
struct NativeKernels {
    _private: [u8; 0],
}

#[repr(C)]
struct NativeSequences {
    cumulative: *const C_tensor,
    longest: i64,
    tokens: i64,
}

unsafe extern "C" {
    fn ebert_fused_kernels_for(
        source: *const c_char,
        options: *const *const c_char,
        option_count: usize,
        hidden: i64,
        inner: i64,
        device: c_int,
        out: *mut *const NativeKernels,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_fused_layer(
        kernels: *const NativeKernels,
        x: *const C_tensor,
        weights: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        gradient_count: usize,
        sequences: *const NativeSequences,
        heads: i64,
        dropout: f64,
        attention_dropout: f64,
        epsilon: f64,
        seeds: *const i64,
        out: *mut *mut C_tensor,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_fused_cross_entropy(
        kernels: *const NativeKernels,
        logits: *const C_tensor,
        labels: *const C_tensor,
        out: *mut *mut C_tensor,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_cast(
        tensors: *const *mut C_tensor,
        count: usize,
        out: *mut *mut C_tensor,
        error: *mut NativeError,
    ) -> c_int;
}

/// Kernels on a GPU, compiled for the widths of a model. They stay loaded until the process ends.
#[derive(Clone, Copy, Debug)]
pub struct FusedKernels {
    native: NonNull<NativeKernels>,
    heads: i64,
    gpu: usize,
}

/// Where the sequences of a packed row are, on a GPU.
#[derive(Debug)]
pub struct Sequences {
    /// Number of tokens before each sequence, then that of all tokens, int32 `[sequences + 1]`.
    cumulative: Tensor,
    /// Number of tokens of the longest sequence.
    longest: i64,
    /// Number of tokens of all sequences.
    tokens: i64,
}

impl Sequences {
    /// Sequences of these lengths, on a GPU.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new(lengths: &[usize], gpu: usize) -> Result<Self, TorchError> {
        let mut cumulative = vec![0];
        let mut tokens = 0;
        for &length in lengths {
            tokens += length as i32;
            cumulative.push(tokens);
        }
        let longest = lengths.iter().copied().max().unwrap_or(0) as i64;
        Ok(Self { cumulative: upload(&cumulative, gpu)?, longest, tokens: i64::from(tokens) })
    }

    fn native(&self) -> NativeSequences {
        NativeSequences { cumulative: self.cumulative.as_ptr().cast(), longest: self.longest, tokens: self.tokens }
    }
}

/// The sizes of a model's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Width of the hidden states.
    pub hidden: i64,
    /// Width between the two halves of a feed-forward layer.
    pub inner: i64,
    /// Attention heads.
    pub heads: i64,
}

impl Widths {
    /// Whether there are kernels for these widths: `hidden` is a multiple of 128 up to 1536,
    /// `inner` one of 256 up to 8192.
    pub fn fit(self) -> bool {
        self.hidden % 128 == 0 && self.hidden <= 1536 && self.inner % 256 == 0 && self.inner <= 8192
    }
}

/// A file of CUDA code.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its name in messages of the compiler.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The CUDA sources, in the order in which [`program`] concatenates them.
pub const SOURCES: [Source; 2] = [
    Source { name: "gpu.cuh", text: include_str!("../native/gpu.cuh") },
    Source { name: "fused.cu", text: include_str!("../native/fused.cu") },
];

/// The program that NVRTC compiles: all of [`SOURCES`], each after a `#line` with its name, so
/// that the compiler's messages name the file.
pub fn program() -> String {
    SOURCES.iter().flat_map(|source| ["#line 1 \"", source.name, "\"\n", source.text]).collect()
}

/// The options that NVRTC compiles [`program`] with, for an architecture such as `sm_90`.
pub fn nvrtc_options(architecture: &str, widths: Widths) -> [String; 4] {
    [
        format!("--gpu-architecture={architecture}"),
        "--std=c++17".to_owned(),
        format!("-DHIDDEN={}", widths.hidden),
        format!("-DINNER={}", widths.inner),
    ]
}

/// Number of parameters of a layer: six matrices, the biases of queries, keys and values, and
/// seven vectors that stay float32.
pub const PARAMETERS: usize = 16;
/// Number of them, the first ones, that a layer takes in bfloat16.
pub const CAST: usize = 9;

/// Arguments that all layers of a pass share.
#[derive(Clone, Copy, Debug)]
pub struct LayerCall<'a> {
    /// The sequences of the packed row.
    pub sequences: &'a Sequences,
    /// Probability of dropout before the layer norms.
    pub dropout: f64,
    /// Probability of dropout of attention probabilities.
    pub attention_dropout: f64,
    /// Epsilon of the layer norms.
    pub epsilon: f64,
}

impl FusedKernels {
    /// Compiles the kernels for a GPU with NVRTC, once per process for each GPU and widths. The
    /// first time takes about a second.
    ///
    /// # Errors
    /// If no kernels exist for the widths, the GPU does not exist, or its driver or NVRTC refuses.
    pub fn compile(widths: Widths, gpu: usize) -> Result<Self, TorchError> {
        let Widths { hidden, inner, heads } = widths;
        if !widths.fit() {
            return Err(TorchError(format!("no code exists for widths of {hidden} and {inner} with {heads} heads")));
        }
        let capability = ComputeCapability::of(gpu)?;
        let architecture = format!("sm_{}{}", capability.major, capability.minor);
        let c_string = |text: String| CString::new(text).map_err(|e| TorchError(e.to_string()));
        let source = c_string(program())?;
        let options = nvrtc_options(&architecture, widths).map(c_string).into_iter().collect::<Result<Vec<_>, _>>()?;
        let option_pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut out = std::ptr::null();
        // SAFETY: all texts end with a zero and outlive the call, and there are as many options
        // as stated.
        checked(|error| unsafe {
            ebert_fused_kernels_for(
                source.as_ptr(),
                option_pointers.as_ptr(),
                option_pointers.len(),
                hidden,
                inner,
                gpu as c_int,
                &mut out,
                error,
            )
        })?;
        let native = NonNull::new(out.cast_mut()).ok_or_else(|| TorchError("no code was compiled".to_owned()))?;
        Ok(Self { native, heads, gpu })
    }

    /// One layer over a packed row `x`, `[tokens, hidden]`, in bfloat16. `weights` are
    /// [`PARAMETERS`] tensors, the first [`CAST`] in bfloat16 and the others in float32. The
    /// backward pass adds to `gradients`: one float32 tensor per weight, or none if there is no
    /// backward pass. `seeds` are for dropout before the two layer norms. Autograd sees `x`
    /// alone.
    ///
    /// # Errors
    /// If a tensor has another kind, shape or device than it must have, or libtorch refuses.
    pub fn layer(
        &self,
        x: &Tensor,
        weights: &[Tensor],
        gradients: &[Tensor],
        call: LayerCall<'_>,
        seeds: [i64; 2],
    ) -> Result<Tensor, TorchError> {
        assert_eq!(weights.len(), PARAMETERS, "the parameters of a layer");
        assert!([0, PARAMETERS].contains(&gradients.len()), "a gradient for each parameter, or none");
        let (weights, gradients) = (pointers(weights), pointers(gradients));
        let sequences = call.sequences.native();
        let mut out = std::ptr::null_mut();
        // SAFETY: the pointers are those of live tensors, as many as stated. The function keeps
        // tensors, not pointers.
        checked(|error| unsafe {
            ebert_fused_layer(
                self.native.as_ptr(),
                x.as_ptr().cast(),
                weights.as_ptr(),
                gradients.as_ptr(),
                gradients.len(),
                &sequences,
                self.heads,
                call.dropout,
                call.attention_dropout,
                call.epsilon,
                seeds.as_ptr(),
                &mut out,
                error,
            )
        })?;
        // SAFETY: the function made a tensor that is ours now.
        Ok(unsafe { Tensor::from_ptr(out.cast()) })
    }

    /// The sum of the cross entropies of logits `[N, columns]` in bfloat16 with `N` labels, a
    /// float32 scalar. The number of columns is a multiple of 8. Autograd sees the logits.
    ///
    /// # Errors
    /// If the logits have another kind, shape or device, a label is not a column, or libtorch
    /// refuses.
    pub fn cross_entropy(&self, logits: &Tensor, labels: &[u32]) -> Result<Tensor, TorchError> {
        let columns = logits.size().last().copied().unwrap_or(0);
        if let Some(label) = labels.iter().find(|&&label| i64::from(label) >= columns) {
            return Err(TorchError(format!("label {label} is not one of {columns} columns")));
        }
        let labels = upload(&labels.iter().map(|&label| label as i32).collect::<Vec<_>>(), self.gpu)?;
        let mut out = std::ptr::null_mut();
        // SAFETY: the pointers are those of live tensors.
        checked(|error| unsafe {
            ebert_fused_cross_entropy(
                self.native.as_ptr(),
                logits.as_ptr().cast(),
                labels.as_ptr().cast(),
                &mut out,
                error,
            )
        })?;
        // SAFETY: the function made a tensor that is ours now.
        Ok(unsafe { Tensor::from_ptr(out.cast()) })
    }
}

/// Copies tensors to bfloat16, unseen by autograd.
///
/// # Errors
/// If libtorch refuses.
pub fn cast(tensors: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
    let pointers = pointers(tensors);
    let mut out = vec![std::ptr::null_mut(); tensors.len()];
    // SAFETY: the pointers are those of live tensors, and there is room for as many.
    checked(|error| unsafe { ebert_cast(pointers.as_ptr(), pointers.len(), out.as_mut_ptr(), error) })?;
    // SAFETY: the function made tensors that are ours now.
    Ok(out.into_iter().map(|tensor| unsafe { Tensor::from_ptr(tensor.cast()) }).collect())
}
