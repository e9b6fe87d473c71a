//! Exchange among processes: libtorch's c10d.
use std::{
    ffi::{CString, c_char, c_int},
    path::Path,
    ptr::NonNull,
    time::Duration,
};

use tch::Tensor;

use super::{NativeError, TorchError, checked, pointers, torch_sys_pointer::C_tensor};

#[repr(C)]
struct NativeGroup {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn ebert_group_join(
        nccl: *const c_char,
        rank: c_int,
        size: c_int,
        host: *const c_char,
        port: u16,
        serve: c_int,
        prefix: *const c_char,
        join_seconds: f64,
        exchange_seconds: f64,
        out: *mut *mut NativeGroup,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_has_gloo() -> c_int;
    fn ebert_group_sum(
        group: *mut NativeGroup,
        tensors: *const *mut C_tensor,
        count: usize,
        bucket_bytes: usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_spread(
        group: *mut NativeGroup,
        tensors: *const *mut C_tensor,
        count: usize,
        bucket_bytes: usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_tell(
        group: *mut NativeGroup,
        name: *const c_char,
        text: *const c_char,
        size: usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_hear(
        group: *mut NativeGroup,
        name: *const c_char,
        text: *mut c_char,
        size: *mut usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_finish(group: *mut NativeGroup, error: *mut NativeError) -> c_int;
    fn ebert_group_leave(group: *mut NativeGroup);
}

/// Bytes that travel together: PyTorch's own choice for gradients.
const BUCKET: usize = 25 << 20;

/// Where the ranks meet, and how long they wait for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting<'a> {
    /// This process among them, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// Host of the store.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Whether this process serves the store.
    pub serve: bool,
    /// What tells one meeting at a store from another.
    pub name: &'a str,
    /// How long until all must be there.
    pub join: Duration,
    /// How long an exchange may take.
    pub exchange: Duration,
}

/// Processes that exchange tensors. What one does all must do, in the same order.
#[derive(Debug)]
pub struct Group(NonNull<NativeGroup>);

/// Whether this build has Gloo, which CPUs need.
pub fn has_gloo() -> bool {
    // SAFETY: it looks at nothing.
    unsafe { ebert_group_has_gloo() != 0 }
}

fn text(text: &str) -> Result<CString, TorchError> {
    CString::new(text).map_err(|e| TorchError(e.to_string()))
}

impl Group {
    /// Meets the others. `nccl` is the library that makes the backend of GPUs; without it CPUs exchange through Gloo.
    pub fn join(meeting: &Meeting<'_>, nccl: Option<&Path>) -> Result<Self, TorchError> {
        let library = nccl.map(|path| text(&path.to_string_lossy())).transpose()?;
        let (host, name) = (text(meeting.host)?, text(meeting.name)?);
        let mut out = std::ptr::null_mut();
        // SAFETY: the texts end with a zero and outlive the call.
        checked(|error| unsafe {
            ebert_group_join(
                library.as_ref().map_or(std::ptr::null(), |l| l.as_ptr()),
                meeting.rank as c_int,
                meeting.size as c_int,
                host.as_ptr(),
                meeting.port,
                c_int::from(meeting.serve),
                name.as_ptr(),
                meeting.join.as_secs_f64(),
                meeting.exchange.as_secs_f64(),
                &mut out,
                error,
            )
        })?;
        NonNull::new(out).map(Self).ok_or_else(|| TorchError("there is no group".to_owned()))
    }

    /// Replaces each tensor by its sum over the ranks. All are of one kind of number.
    pub fn sum(&self, tensors: &[Tensor]) -> Result<(), TorchError> {
        let pointers = pointers(tensors);
        // SAFETY: the pointers are those of live tensors, and the group lives.
        checked(|error| unsafe { ebert_group_sum(self.0.as_ptr(), pointers.as_ptr(), pointers.len(), BUCKET, error) })
    }

    /// Replaces each tensor by that of rank 0. All are of one kind of number.
    pub fn spread(&self, tensors: &[Tensor]) -> Result<(), TorchError> {
        let pointers = pointers(tensors);
        // SAFETY: as above.
        checked(|error| unsafe {
            ebert_group_spread(self.0.as_ptr(), pointers.as_ptr(), pointers.len(), BUCKET, error)
        })
    }

    /// Tells all others a text under a name that is used once.
    pub fn tell(&self, name: &str, said: &str) -> Result<(), TorchError> {
        let name = text(name)?;
        // SAFETY: the text has the stated size.
        checked(|error| unsafe {
            ebert_group_tell(self.0.as_ptr(), name.as_ptr(), said.as_ptr().cast(), said.len(), error)
        })
    }

    /// Waits for a text that another tells.
    pub fn hear(&self, name: &str) -> Result<String, TorchError> {
        let name = text(name)?;
        let mut size = 0;
        let ask = |bytes: *mut c_char, size: &mut usize| {
            // SAFETY: `bytes` is null or has room for `size`.
            checked(|error| unsafe { ebert_group_hear(self.0.as_ptr(), name.as_ptr(), bytes, size, error) })
        };
        ask(std::ptr::null_mut(), &mut size)?;
        let mut bytes = vec![0u8; size];
        ask(bytes.as_mut_ptr().cast(), &mut size)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Group {
    /// Parts in order, when all ranks are through.
    pub fn finish(self) -> Result<(), TorchError> {
        // SAFETY: the group lives.
        checked(|error| unsafe { ebert_group_finish(self.0.as_ptr(), error) })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: it was made by `join`, and is not used any more.
        unsafe { ebert_group_leave(self.0.as_ptr()) }
    }
}
