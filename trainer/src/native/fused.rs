//! BERT on a GPU: what lies between the matrix products of its layers is fused, and so is cross entropy.
use std::{
    ffi::{CString, c_char, c_int},
    ptr::NonNull,
};

use tch::Tensor;

use super::{NativeError, TorchError, checked, pointers, torch_sys_pointer::C_tensor};

#[repr(C)]
struct NativeKernels {
    _private: [u8; 0],
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
        cumulative: *const C_tensor,
        longest: i64,
        heads: i64,
        dropout: f64,
        attention_dropout: f64,
        epsilon: f64,
        first_seed: i64,
        second_seed: i64,
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
pub struct FusedKernels(NonNull<NativeKernels>);

/// A layer's parameters: six matrices, the biases of queries, keys and values, and seven rows that stay float32.
pub const PARAMETERS: usize = 16;
/// How many of them, the first ones, a layer takes in bfloat16.
pub const CAST: usize = 9;

/// What the layers of a pass have in common.
#[derive(Clone, Copy, Debug)]
pub struct LayerCall<'a> {
    /// Tokens before each sequence, and of all, int32.
    pub cumulative: &'a Tensor,
    /// Tokens of the longest sequence.
    pub longest: i64,
    /// Attention heads.
    pub heads: i64,
    /// Share of numbers that dropout drops.
    pub dropout: f64,
    /// Share of attention that it drops.
    pub attention_dropout: f64,
    /// Of the layer norms.
    pub epsilon: f64,
}

impl FusedKernels {
    /// Whether the code can be compiled for these widths: multiples of 128 up to 1536, and of 256 up to 8192.
    pub fn fit(hidden: i64, inner: i64) -> bool {
        hidden % 128 == 0 && hidden <= 1536 && inner % 256 == 0 && inner <= 8192
    }

    /// Compiles the code for a GPU, which takes a second the first time.
    ///
    /// # Errors
    /// When there is no such GPU, or its driver or compiler refuses.
    pub fn compile(hidden: i64, inner: i64, gpu: usize) -> Result<Self, TorchError> {
        let source = CString::new(include_str!("../../native/fused.cu")).map_err(|e| TorchError(e.to_string()))?;
        let mut out = std::ptr::null();
        // SAFETY: the text ends with a zero and outlives the call.
        checked(|error| unsafe {
            ebert_fused_kernels_for(source.as_ptr(), hidden, inner, gpu as c_int, &mut out, error)
        })?;
        NonNull::new(out.cast_mut()).map(Self).ok_or_else(|| TorchError("there is no code".to_owned()))
    }

    /// One layer over a row of tokens `x` `[T, hidden]`, bfloat16. `weights` are [`PARAMETERS`], the first [`CAST`] in bfloat16 and the others in
    /// float32. The backward pass adds to `gradients`, one for each weight in float32, or none where there will be none. Dropout is
    /// drawn from the two seeds.
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
        let mut out = std::ptr::null_mut();
        // SAFETY: the pointers are those of live tensors, as many as stated; the function keeps tensors, not pointers.
        checked(|error| unsafe {
            ebert_fused_layer(
                self.0.as_ptr(),
                x.as_ptr().cast(),
                weights.as_ptr(),
                gradients.as_ptr(),
                gradients.len(),
                call.cumulative.as_ptr().cast(),
                call.longest,
                call.heads,
                call.dropout,
                call.attention_dropout,
                call.epsilon,
                seeds[0],
                seeds[1],
                &mut out,
                error,
            )
        })?;
        // SAFETY: the function made a tensor that is ours now.
        Ok(unsafe { Tensor::from_ptr(out.cast()) })
    }

    /// The sum of the cross entropies of scores `[N, columns]` in bfloat16, columns a multiple of 8, with labels `[N]` in int32: a scalar in float32.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn cross_entropy(&self, scores: &Tensor, labels: &Tensor) -> Result<Tensor, TorchError> {
        let mut out = std::ptr::null_mut();
        // SAFETY: the pointers are those of live tensors.
        checked(|error| unsafe {
            ebert_fused_cross_entropy(self.0.as_ptr(), scores.as_ptr().cast(), labels.as_ptr().cast(), &mut out, error)
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
