//! BERT on a GPU: the operators between the matrix products of its layers are fused, and so is cross entropy. Attention is
//! libtorch's flash attention (Dao 2023).
use std::{
    ffi::{CString, c_char, c_int},
    ptr::NonNull,
};

use tch::Tensor;

use super::{NativeError, TorchError, checked, pointers, torch_sys_pointer::C_tensor, upload};

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
        scores: *const C_tensor,
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

/// Code on a GPU, compiled for the widths of a model. It stays there until the process ends.
#[derive(Clone, Copy, Debug)]
pub struct FusedKernels {
    native: NonNull<NativeKernels>,
    heads: i64,
    gpu: usize,
}

/// Where sequences lie in a row of tokens, on a GPU.
#[derive(Debug)]
pub struct Sequences {
    /// Tokens before each sequence, and of all, int32 `[sequences + 1]`.
    cumulative: Tensor,
    /// Tokens of the longest.
    longest: i64,
    /// Tokens of all.
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
    /// Whether there are kernels: hidden widths are multiples of 128 up to 1536, inner ones multiples of 256 up to 8192.
    pub fn fit(self) -> bool {
        self.hidden % 128 == 0 && self.hidden <= 1536 && self.inner % 256 == 0 && self.inner <= 8192
    }
}

/// The CUDA sources by name, in the order in which they are compiled as one.
pub const SOURCES: [(&str, &str); 2] =
    [("gpu.cuh", include_str!("../native/gpu.cuh")), ("fused.cu", include_str!("../native/fused.cu"))];

/// A layer's parameters: six matrices, the biases of queries, keys and values, and seven rows that stay float32.
pub const PARAMETERS: usize = 16;
/// How many of them, the first ones, a layer takes in bfloat16.
pub const CAST: usize = 9;

/// What the layers of a pass have in common.
#[derive(Clone, Copy, Debug)]
pub struct LayerCall<'a> {
    /// Where its sequences lie.
    pub sequences: &'a Sequences,
    /// Share of numbers that dropout drops.
    pub dropout: f64,
    /// Share of attention that it drops.
    pub attention_dropout: f64,
    /// Of the layer norms.
    pub epsilon: f64,
}

impl FusedKernels {
    /// Compiles the code for a GPU, which takes some seconds the first time.
    ///
    /// # Errors
    /// When there is no such GPU, or its driver or compiler refuses.
    pub fn compile(widths: Widths, gpu: usize) -> Result<Self, TorchError> {
        let Widths { hidden, inner, heads } = widths;
        if !widths.fit() {
            return Err(TorchError(format!("there is no code for widths of {hidden} and {inner} with {heads} heads")));
        }
        // The name of each file, for what the compiler says.
        let mut source = String::new();
        for (name, text) in SOURCES {
            source.extend(["#line 1 \"", name, "\"\n", text]);
        }
        let source = CString::new(source).map_err(|e| TorchError(e.to_string()))?;
        let mut out = std::ptr::null();
        // SAFETY: the text ends with a zero and outlives the call.
        checked(|error| unsafe {
            ebert_fused_kernels_for(source.as_ptr(), hidden, inner, gpu as c_int, &mut out, error)
        })?;
        let native = NonNull::new(out.cast_mut()).ok_or_else(|| TorchError("there is no code".to_owned()))?;
        Ok(Self { native, heads, gpu })
    }

    /// One layer over a row of tokens `x` `[T, hidden]`, bfloat16. `weights` are [`PARAMETERS`], the first [`CAST`] in bfloat16 and the others in
    /// float32. The backward pass adds to `gradients`, one for each weight in float32, or none where there will be none. Dropout
    /// before the two norms is drawn from the seeds.
    ///
    /// # Errors
    /// When libtorch refuses.
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
        // SAFETY: the pointers are those of live tensors, as many as stated; the function keeps tensors, not pointers.
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

    /// The sum of the cross entropies of logits `[N, columns]` in bfloat16 with `N` labels, a scalar in float32. The number of
    /// columns is a multiple of 8.
    ///
    /// # Errors
    /// If a label is not a column, or libtorch refuses.
    pub fn cross_entropy(&self, scores: &Tensor, labels: &[u16]) -> Result<Tensor, TorchError> {
        let columns = scores.size().last().copied().unwrap_or(0);
        if let Some(label) = labels.iter().find(|&&label| i64::from(label) >= columns) {
            return Err(TorchError(format!("label {label} is not one of {columns} columns")));
        }
        let labels = upload(&labels.iter().map(|&label| i32::from(label)).collect::<Vec<_>>(), self.gpu)?;
        let mut out = std::ptr::null_mut();
        // SAFETY: the pointers are those of live tensors.
        checked(|error| unsafe {
            ebert_fused_cross_entropy(
                self.native.as_ptr(),
                scores.as_ptr().cast(),
                labels.as_ptr().cast(),
                &mut out,
                error,
            )
        })?;
        // SAFETY: the function made a tensor that is ours now.
        Ok(unsafe { Tensor::from_ptr(out.cast()) })
    }
}

/// Copies in bfloat16, which autograd does not see.
///
/// # Errors
/// When libtorch refuses.
pub fn cast(tensors: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
    let pointers = pointers(tensors);
    let mut out = vec![std::ptr::null_mut(); tensors.len()];
    // SAFETY: the pointers are those of live tensors, and there is room for as many.
    checked(|error| unsafe { ebert_cast(pointers.as_ptr(), pointers.len(), out.as_mut_ptr(), error) })?;
    // SAFETY: the function made tensors that are ours now.
    Ok(out.into_iter().map(|tensor| unsafe { Tensor::from_ptr(tensor.cast()) }).collect())
}
