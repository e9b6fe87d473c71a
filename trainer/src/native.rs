//! The Rust side of `trainer/native`: what tch lacks.
use std::ffi::{c_char, c_int};

use tch::Tensor;
use torch_sys_pointer::C_tensor;

/// tch does not export the type of its pointers.
mod torch_sys_pointer {
    #[repr(C)]
    pub struct C_tensor {
        _private: [u8; 0],
    }
}

#[repr(C)]
struct NativeError {
    text: [c_char; 1024],
}

/// libtorch refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct TorchError(pub String);

unsafe extern "C" {
    fn ebert_fused_adamw(
        parameters: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        averages: *const *mut C_tensor,
        squares: *const *mut C_tensor,
        step: *const C_tensor,
        count: usize,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_clip_gradients(
        gradients: *const *mut C_tensor,
        count: usize,
        limit: f64,
        norm: *mut f64,
        error: *mut NativeError,
    ) -> c_int;
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
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the two moving averages.
    pub betas: [f64; 2],
    /// Share of the step size by which weights shrink.
    pub weight_decay: f64,
    /// Added to the root.
    pub epsilon: f64,
}

/// One step of AdamW, in place. All lists are in the same order; `step` is a float that holds the step's number, from 1.
pub fn fused_adamw(
    parameters: &[Tensor],
    gradients: &[Tensor],
    averages: &[Tensor],
    squares: &[Tensor],
    step: &Tensor,
    constants: AdamW,
) -> Result<(), TorchError> {
    let count = parameters.len();
    assert!([gradients.len(), averages.len(), squares.len()] == [count; 3], "one state for each parameter");
    let [p, g, a, s] = [parameters, gradients, averages, squares].map(pointers);
    // SAFETY: the pointers are those of live tensors, `count` in each list; the function keeps none of them.
    checked(|error| unsafe {
        ebert_fused_adamw(
            p.as_ptr(),
            g.as_ptr(),
            a.as_ptr(),
            s.as_ptr(),
            step.as_ptr().cast(),
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

/// The 2-norm of all gradients together; above `limit` (0: none) they are scaled down to it in place.
pub fn clip_gradients(gradients: &[Tensor], limit: f64) -> Result<f64, TorchError> {
    let pointers = pointers(gradients);
    let mut norm = 0.0;
    // SAFETY: as above.
    checked(|error| unsafe { ebert_clip_gradients(pointers.as_ptr(), pointers.len(), limit, &mut norm, error) })?;
    Ok(norm)
}

/// How the libtorch that is loaded was built.
pub fn build_settings() -> Result<String, TorchError> {
    let mut text = vec![0; 1 << 14];
    // SAFETY: the buffer has the stated size, and the function ends it with a zero.
    checked(|error| unsafe { ebert_build_settings(text.as_mut_ptr(), text.len(), error) })?;
    Ok(text_of(&text))
}
