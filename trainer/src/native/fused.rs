//! BERT on a GPU: what lies between the matrix products of its layers is fused, attention too if it is ours, and so is cross entropy.
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

#[repr(C)]
struct NativeSequences {
    cumulative: *const C_tensor,
    longest: i64,
    tiles: *const C_tensor,
    pairs: i64,
}

unsafe extern "C" {
    fn ebert_fused_kernels_for(
        source: *const c_char,
        hidden: i64,
        inner: i64,
        head: i64,
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
    fn ebert_fused_attention(
        kernels: *const NativeKernels,
        queries: *const C_tensor,
        keys: *const C_tensor,
        values: *const C_tensor,
        sequences: *const NativeSequences,
        heads: i64,
        dropout: f64,
        seed: i64,
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
    /// Whether layers use the attention of `attention.cu`; otherwise libtorch's.
    attention: bool,
}

/// Rows of a tile of `attention.cu`.
const TILE: usize = 64;

/// Where sequences lie in a row of tokens, on a GPU.
#[derive(Debug)]
pub struct Sequences {
    /// Tokens before each sequence, and of all, int32 `[sequences + 1]`: for libtorch's flash attention.
    pub cumulative: Tensor,
    /// Tokens of the longest.
    pub longest: i64,
    /// For each tile of 64 tokens of a sequence, int32 `[tiles, 4]`: the sequence's first token and its length, the tile's number in it,
    /// and the pairs of tiles of the sequences before it.
    tiles: Tensor,
    /// Pairs of tiles of all sequences.
    pairs: i64,
}

impl Sequences {
    /// Sequences of these lengths; `upload` brings numbers to the GPU.
    pub fn new(lengths: &[usize], upload: impl Fn(&[i32]) -> Tensor) -> Self {
        let (mut cumulative, mut tiles) = (vec![0], Vec::new());
        let (mut start, mut pairs) = (0, 0);
        for &length in lengths {
            let many = length.div_ceil(TILE);
            tiles.extend((0..many).flat_map(|tile| [start, length, tile, pairs].map(|n| n as i32)));
            (start, pairs) = (start + length, pairs + many * many);
            cumulative.push(start as i32);
        }
        let longest = lengths.iter().copied().max().unwrap_or(0) as i64;
        Self { cumulative: upload(&cumulative), longest, tiles: upload(&tiles).view([-1, 4]), pairs: pairs as i64 }
    }

    fn native(&self, tiles: bool) -> NativeSequences {
        NativeSequences {
            cumulative: self.cumulative.as_ptr().cast(),
            longest: self.longest,
            tiles: if tiles { self.tiles.as_ptr().cast() } else { std::ptr::null() },
            pairs: self.pairs,
        }
    }
}

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
    /// Whether the code can be compiled for these widths: multiples of 128 up to 1536, and of 256 up to 8192.
    pub fn fit(hidden: i64, inner: i64) -> bool {
        hidden % 128 == 0 && hidden <= 1536 && inner % 256 == 0 && inner <= 8192
    }

    /// Compiles the code for a GPU, which takes some seconds the first time; if `attention`, with that of `attention.cu`, which there is for
    /// heads of 32 and 64 numbers.
    ///
    /// # Errors
    /// When there is no such GPU, or its driver or compiler refuses.
    pub fn compile([hidden, inner, heads]: [i64; 3], attention: bool, gpu: usize) -> Result<Self, TorchError> {
        let attention = attention && hidden % heads == 0 && [32, 64].contains(&(hidden / heads));
        // The name of each file, for what the compiler says.
        let mut source = String::new();
        let mut add = |name, text| source.extend(["#line 1 \"", name, "\"\n", text]);
        add("gpu.cuh", include_str!("../../native/gpu.cuh"));
        add("fused.cu", include_str!("../../native/fused.cu"));
        if attention {
            add("attention.cu", include_str!("../../native/attention.cu"));
        }
        let source = CString::new(source).map_err(|e| TorchError(e.to_string()))?;
        let head = if attention { hidden / heads } else { 0 };
        let mut out = std::ptr::null();
        // SAFETY: the text ends with a zero and outlives the call.
        checked(|error| unsafe {
            ebert_fused_kernels_for(source.as_ptr(), hidden, inner, head, gpu as c_int, &mut out, error)
        })?;
        let native = NonNull::new(out.cast_mut()).ok_or_else(|| TorchError("there is no code".to_owned()))?;
        Ok(Self { native, heads, attention })
    }

    /// Whether layers use the attention of `attention.cu`, which there is for heads of 32 and 64 numbers; otherwise they use libtorch's.
    pub fn has_attention(&self) -> bool {
        self.attention
    }

    /// Has layers use libtorch's attention from now on.
    pub fn use_attention_of_libtorch(&mut self) {
        self.attention = false;
    }

    /// The attention of `attention.cu` alone: queries, keys and values are `[T, hidden]` in bfloat16, and so is the result. Gradients flow through it.
    ///
    /// # Errors
    /// When there is none for this model, or libtorch refuses.
    pub fn attention(
        &self,
        [queries, keys, values]: [&Tensor; 3],
        sequences: &Sequences,
        dropout: f64,
        seed: i64,
    ) -> Result<Tensor, TorchError> {
        let [q, k, v] = [queries, keys, values].map(|tensor| tensor.as_ptr().cast());
        let (sequences, kernels) = (sequences.native(true), self.native.as_ptr());
        let mut out = std::ptr::null_mut();
        // SAFETY: the pointers are those of live tensors; the function keeps tensors, not pointers.
        checked(|error| unsafe {
            ebert_fused_attention(kernels, q, k, v, &sequences, self.heads, dropout, seed, &mut out, error)
        })?;
        // SAFETY: the function made a tensor that is ours now.
        Ok(unsafe { Tensor::from_ptr(out.cast()) })
    }

    /// One layer over a row of tokens `x` `[T, hidden]`, bfloat16. `weights` are [`PARAMETERS`], the first [`CAST`] in bfloat16 and the others in
    /// float32. The backward pass adds to `gradients`, one for each weight in float32, or none where there will be none. Dropout is
    /// drawn from the seeds: of the first norm, the second, and of attention.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn layer(
        &self,
        x: &Tensor,
        weights: &[Tensor],
        gradients: &[Tensor],
        call: LayerCall<'_>,
        seeds: [i64; 3],
    ) -> Result<Tensor, TorchError> {
        assert_eq!(weights.len(), PARAMETERS, "the parameters of a layer");
        assert!([0, PARAMETERS].contains(&gradients.len()), "a gradient for each parameter, or none");
        let (weights, gradients) = (pointers(weights), pointers(gradients));
        let sequences = call.sequences.native(self.attention);
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

    /// The sum of the cross entropies of scores `[N, columns]` in bfloat16, columns a multiple of 8, with labels `[N]` in int32: a scalar in float32.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn cross_entropy(&self, scores: &Tensor, labels: &Tensor) -> Result<Tensor, TorchError> {
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
