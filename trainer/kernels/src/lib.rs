//! What [`tch`] lacks for training BERT: C++ and CUDA code on libtorch, and all `unsafe` code of
//! the trainer.
//!
//! # Overview
//!
//! * [`cpu`]: [`dropout`](cpu::dropout) and [`attention`](cpu::attention) over packed sequences,
//!   on all threads of a CPU.
//! * [`fused`]: layers of BERT for a GPU. [`FusedKernels::compile`](fused::FusedKernels::compile)
//!   compiles the CUDA code for the widths of a model,
//!   [`FusedKernels::layer`](fused::FusedKernels::layer) is one autograd node, and
//!   [`FusedKernels::cross_entropy`](fused::FusedKernels::cross_entropy) is the loss.
//!   [`Sequences`](fused::Sequences) are the lengths of a packed row.
//! * [`group`]: a [`Group`](group::Group) of processes joins at a
//!   [`Rendezvous`](group::Rendezvous), then exchanges tensors through Gloo or NCCL.
//! * [`device`]: [`Machine::look`](device::Machine::look) finds libtorch and the GPUs, and loads
//!   libtorch's CUDA part.
//! * [`fused_adamw`] with its [`AdamW`] constants and its [`Gate`], [`norm`], [`zero`] and
//!   [`add`]: one call for many tensors.
//! * [`upload`] and [`Reading`]: copies to and from a GPU that the CPU does not wait for.
//!
//! A packed row holds the tokens of several sequences one after another, without padding.
//!
//! Nothing here knows the names of BERT's parameters: `ebert-bert` decides which layers run and
//! hands over tensors. Each function checks kinds and shapes and returns a [`TorchError`] that
//! names what it wanted.
//!
//! # Example
//!
//! Two sequences in one row, with two heads of four numbers:
//!
//! ```
//! use ebert_kernels::cpu;
//! use tch::{Device, Kind, Tensor};
//!
//! let qkv = [0, 1, 2].map(|_| Tensor::randn([5, 8], (Kind::Float, Device::Cpu)));
//! let seen = cpu::attention(qkv.each_ref(), &[3, 2], 2, 0.0)?;
//! assert_eq!(seen.size(), [5, 8]);
//! # Ok::<(), ebert_kernels::TorchError>(())
//! ```
//!
//! `DESIGN.md` explains the optimizations, what each one gained, and what it is compared with.
pub mod cpu;
pub mod device;
pub mod fused;
pub mod group;

use std::{
    ffi::{c_char, c_int},
    fmt,
};

use tch::{Device, Kind, Tensor};
use torch_sys_pointer::C_tensor;

/// tch does not export the type of its pointers.
mod torch_sys_pointer {
    #[repr(C)]
    pub(super) struct C_tensor {
        _private: [u8; 0],
    }
}

#[repr(C)]
struct NativeReading {
    _private: [u8; 0],
}

#[repr(C)]
struct NativeError {
    text: [c_char; 1024],
}

/// An error of libtorch, or a check of this crate that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct TorchError(pub String);

/// All threads share libtorch's random number generator: a test that draws from it holds this lock.
#[doc(hidden)]
pub fn generator() -> std::sync::MutexGuard<'static, ()> {
    static GENERATOR: std::sync::Mutex<()> = std::sync::Mutex::new(());
    GENERATOR.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

unsafe extern "C" {
    fn ebert_fused_adamw(
        parameters: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        averages: *const *mut C_tensor,
        squares: *const *mut C_tensor,
        step: *const C_tensor,
        divisor: *const C_tensor,
        skip: *const C_tensor,
        count: usize,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_norm(
        tensors: *const *mut C_tensor,
        count: usize,
        out: *mut *mut C_tensor,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_zero(tensors: *const *mut C_tensor, count: usize, error: *mut NativeError) -> c_int;
    fn ebert_add(
        tensors: *const *mut C_tensor,
        more: *const *mut C_tensor,
        count: usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_upload(
        numbers: *const i32,
        count: usize,
        gpu: c_int,
        out: *mut *mut C_tensor,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_reading_start(numbers: *const C_tensor, out: *mut *mut NativeReading, error: *mut NativeError) -> c_int;
    fn ebert_reading_finish(
        reading: *mut NativeReading,
        numbers: *mut f64,
        count: usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_compute_capability(device: c_int, major: *mut c_int, minor: *mut c_int, error: *mut NativeError) -> c_int;
    fn ebert_build_settings(text: *mut c_char, size: usize, error: *mut NativeError) -> c_int;
}

fn checked(call: impl FnOnce(*mut NativeError) -> c_int) -> Result<(), TorchError> {
    let mut error = NativeError { text: [0; 1024] };
    if call(&mut error) == 0 { Ok(()) } else { Err(TorchError(text_of(&error.text))) }
}

fn text_of(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn pointers(tensors: &[Tensor]) -> Vec<*mut C_tensor> {
    tensors.iter().map(|t| t.as_ptr().cast::<C_tensor>().cast_mut()).collect()
}

/// The constants of AdamW (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the two moving averages.
    pub betas: [f64; 2],
    /// Weight decay: times the learning rate, the ratio by which weights shrink.
    pub weight_decay: f64,
    /// Added to the square root of the second average.
    pub epsilon: f64,
}

/// Inputs of a step of AdamW that are on the device, so that the CPU does not wait for them:
/// float32 scalars.
#[derive(Debug)]
pub struct Gate {
    /// The number of the step, from 1.
    pub step: Tensor,
    /// Gradients are divided by this.
    pub divisor: Tensor,
    /// 1 to skip the step, else 0.
    pub skip: Tensor,
}

/// One step of AdamW, in place. All lists are in the same order.
///
/// # Errors
/// If libtorch refuses.
pub fn fused_adamw(
    parameters: &[Tensor],
    gradients: &[Tensor],
    averages: &[Tensor],
    squares: &[Tensor],
    gate: &Gate,
    constants: AdamW,
) -> Result<(), TorchError> {
    let count = parameters.len();
    assert!([gradients.len(), averages.len(), squares.len()] == [count; 3], "one state for each parameter");
    let [p, g, a, s] = [parameters, gradients, averages, squares].map(pointers);
    // SAFETY: the pointers are those of live tensors, `count` in each list. The function keeps
    // none of them.
    checked(|error| unsafe {
        ebert_fused_adamw(
            p.as_ptr(),
            g.as_ptr(),
            a.as_ptr(),
            s.as_ptr(),
            gate.step.as_ptr().cast(),
            gate.divisor.as_ptr().cast(),
            gate.skip.as_ptr().cast(),
            count,
            constants.learning_rate,
            constants.betas[0],
            constants.betas[1],
            constants.weight_decay,
            constants.epsilon,
            error,
        )
    })
}

/// The 2-norm of all tensors together, a scalar on their device.
///
/// # Errors
/// If libtorch refuses, for example because devices differ.
///
/// # Panics
/// When there is none.
pub fn norm(tensors: &[Tensor]) -> Result<Tensor, TorchError> {
    assert!(!tensors.is_empty(), "the norm of something");
    let (pointers, mut out) = (pointers(tensors), std::ptr::null_mut());
    // SAFETY: as above.
    checked(|error| unsafe { ebert_norm(pointers.as_ptr(), pointers.len(), &mut out, error) })?;
    // SAFETY: the function made a tensor that is ours now.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

/// Sets all tensors to zero.
///
/// # Errors
/// If libtorch refuses.
pub fn zero(tensors: &[Tensor]) -> Result<(), TorchError> {
    let pointers = pointers(tensors);
    // SAFETY: as above.
    checked(|error| unsafe { ebert_zero(pointers.as_ptr(), pointers.len(), error) })
}

/// Adds to each tensor another of the same shape.
///
/// # Errors
/// If libtorch refuses, for example because two shapes do not fit.
pub fn add(tensors: &[Tensor], more: &[Tensor]) -> Result<(), TorchError> {
    assert_eq!(tensors.len(), more.len(), "something for each tensor");
    let [tensors, more] = [tensors, more].map(pointers);
    // SAFETY: as above; both lists have as many.
    checked(|error| unsafe { ebert_add(tensors.as_ptr(), more.as_ptr(), tensors.len(), error) })
}

/// Copies numbers to a GPU, as int32. The copy is from pinned memory, so the CPU does not wait
/// for it.
///
/// # Errors
/// If libtorch refuses, for example because the GPU does not exist.
pub fn upload(numbers: &[i32], gpu: usize) -> Result<Tensor, TorchError> {
    let mut out = std::ptr::null_mut();
    // SAFETY: there are as many numbers as stated, and they are copied before the function returns.
    checked(|error| unsafe { ebert_upload(numbers.as_ptr(), numbers.len(), gpu as c_int, &mut out, error) })?;
    // SAFETY: the function made a tensor that is ours now.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

/// A copy of `N` numbers from a device that is under way. Only [`Reading::finish`] waits for it.
#[derive(Debug)]
pub struct Reading<const N: usize>(*mut NativeReading);

impl<const N: usize> Reading<N> {
    /// Queues the copy behind all work that the device has been given before.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn start(numbers: &Tensor) -> Result<Self, TorchError> {
        let mut out = std::ptr::null_mut();
        // SAFETY: the pointer is that of a live tensor.
        checked(|error| unsafe { ebert_reading_start(numbers.as_ptr().cast(), &mut out, error) })?;
        Ok(Self(out))
    }

    /// Waits for the copy.
    ///
    /// # Errors
    /// If the tensor does not hold `N` numbers, or libtorch refuses.
    pub fn finish(mut self) -> Result<[f64; N], TorchError> {
        let mut numbers = [0.0; N];
        let reading = std::mem::replace(&mut self.0, std::ptr::null_mut());
        // SAFETY: `start` made it, and it ends here.
        checked(|error| unsafe { ebert_reading_finish(reading, numbers.as_mut_ptr(), N, error) })?;
        Ok(numbers)
    }
}

impl<const N: usize> Drop for Reading<N> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            let mut nothing = [0.0; N];
            // SAFETY: as in `finish`; what it says does not matter any more.
            let _ = checked(|error| unsafe { ebert_reading_finish(self.0, nothing.as_mut_ptr(), N, error) });
        }
    }
}

/// Seeds from libtorch's generator.
///
/// # Errors
/// If libtorch does not give the numbers.
pub fn seeds(count: i64) -> Result<Vec<i64>, TorchError> {
    let drawn = Tensor::randint(i64::MAX, [count], (Kind::Int64, Device::Cpu));
    Vec::<i64>::try_from(drawn).map_err(|error| TorchError(error.to_string()))
}

/// NVIDIA's compute capability of a GPU: 7.5 of a T4, 8.0 of an A100, 9.0 of an H100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ComputeCapability {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl ComputeCapability {
    /// The compute capability of a GPU.
    ///
    /// # Errors
    /// If the GPU does not exist, or the driver cannot be asked.
    pub fn of(gpu: usize) -> Result<Self, TorchError> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both numbers live until the function returns.
        checked(|error| unsafe { ebert_compute_capability(gpu as c_int, &mut major, &mut minor, error) })?;
        Ok(Self { major: major as u32, minor: minor as u32 })
    }
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The build settings of the loaded libtorch.
///
/// # Errors
/// If libtorch refuses.
pub fn build_settings() -> Result<String, TorchError> {
    let mut text = vec![0; 1 << 14];
    // SAFETY: the buffer has the stated size, and the function ends it with a zero.
    checked(|error| unsafe { ebert_build_settings(text.as_mut_ptr(), text.len(), error) })?;
    Ok(text_of(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_gives_the_numbers() {
        let numbers = Tensor::from_slice(&[1.5f32, -2.0, f32::INFINITY]);
        assert_eq!(Reading::<3>::start(&numbers).unwrap().finish().unwrap(), [1.5, -2.0, f64::INFINITY]);
        let error = Reading::<2>::start(&numbers).unwrap().finish().unwrap_err().to_string();
        assert!(error.contains("expected 2 numbers, found 3"), "{error}");
        // A reading that nobody finishes ends too.
        drop(Reading::<3>::start(&numbers).unwrap());
    }
}
