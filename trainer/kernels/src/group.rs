//! Process groups: collective operations and a key-value store, by libtorch's c10d.
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
    fn ebert_group_all_reduce(
        group: *mut NativeGroup,
        tensors: *const *mut C_tensor,
        count: usize,
        bucket_bytes: usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_broadcast(
        group: *mut NativeGroup,
        tensors: *const *mut C_tensor,
        count: usize,
        bucket_bytes: usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_set(
        group: *mut NativeGroup,
        key: *const c_char,
        text: *const c_char,
        size: usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_get(
        group: *mut NativeGroup,
        key: *const c_char,
        text: *mut c_char,
        size: *mut usize,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_group_shutdown(group: *mut NativeGroup, error: *mut NativeError) -> c_int;
    fn ebert_group_free(group: *mut NativeGroup);
}

/// Bytes per bucket of a collective operation, as in PyTorch's DistributedDataParallel.
const BUCKET: usize = 25 << 20;

/// Where the ranks of a group meet, and how long they wait for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous<'a> {
    /// The rank of this process, from 0.
    pub rank: usize,
    /// Number of processes.
    pub world_size: usize,
    /// Host of the store.
    pub host: &'a str,
    /// Port of the store.
    pub port: u16,
    /// Whether this process serves the store.
    pub serves_store: bool,
    /// Prefix of all keys in the store, which differs between starts of the group.
    pub prefix: &'a str,
    /// Time until all ranks must have joined.
    pub join_timeout: Duration,
    /// Time that an exchange may take.
    pub exchange_timeout: Duration,
}

/// A process group. Each collective operation is called by all ranks, in the same order.
#[derive(Debug)]
pub struct Group(NonNull<NativeGroup>);

/// Whether this build has Gloo, which CPUs need.
pub fn has_gloo() -> bool {
    // SAFETY: it has no arguments and reads a constant.
    unsafe { ebert_group_has_gloo() != 0 }
}

fn text(text: &str) -> Result<CString, TorchError> {
    CString::new(text).map_err(|e| TorchError(e.to_string()))
}

impl Group {
    /// Joins the group. `nccl` is the path of the library with the NCCL backend for GPUs. Without
    /// it the backend is Gloo, for CPUs.
    ///
    /// # Errors
    /// If this build lacks the backend, its library cannot be loaded, or a rank does not join in
    /// time.
    pub fn join(rendezvous: &Rendezvous<'_>, nccl: Option<&Path>) -> Result<Self, TorchError> {
        let library = nccl.map(|path| text(&path.to_string_lossy())).transpose()?;
        let (host, prefix) = (text(rendezvous.host)?, text(rendezvous.prefix)?);
        let mut out = std::ptr::null_mut();
        // SAFETY: the texts end with a zero and outlive the call.
        checked(|error| unsafe {
            ebert_group_join(
                library.as_ref().map_or(std::ptr::null(), |l| l.as_ptr()),
                rendezvous.rank as c_int,
                rendezvous.world_size as c_int,
                host.as_ptr(),
                rendezvous.port,
                c_int::from(rendezvous.serves_store),
                prefix.as_ptr(),
                rendezvous.join_timeout.as_secs_f64(),
                rendezvous.exchange_timeout.as_secs_f64(),
                &mut out,
                error,
            )
        })?;
        NonNull::new(out).map(Self).ok_or_else(|| TorchError("no group was created".to_owned()))
    }

    /// Replaces each tensor by its sum over the ranks. All tensors have one kind and device.
    ///
    /// # Errors
    /// If another rank is lost, the exchange takes too long, or libtorch refuses the tensors.
    pub fn all_reduce(&self, tensors: &[Tensor]) -> Result<(), TorchError> {
        let pointers = pointers(tensors);
        // SAFETY: the pointers are those of live tensors, and the group lives.
        checked(|error| unsafe {
            ebert_group_all_reduce(self.0.as_ptr(), pointers.as_ptr(), pointers.len(), BUCKET, error)
        })
    }

    /// Replaces each tensor by that of rank 0. All tensors have one kind and device.
    ///
    /// # Errors
    /// If another rank is lost, the exchange takes too long, or libtorch refuses the tensors.
    pub fn broadcast(&self, tensors: &[Tensor]) -> Result<(), TorchError> {
        let pointers = pointers(tensors);
        // SAFETY: as above.
        checked(|error| unsafe {
            ebert_group_broadcast(self.0.as_ptr(), pointers.as_ptr(), pointers.len(), BUCKET, error)
        })
    }

    /// Sets the value of a key in the store. Each key is set once.
    ///
    /// # Errors
    /// If the key has a zero byte, or the store cannot be reached.
    pub fn set(&self, key: &str, value: &str) -> Result<(), TorchError> {
        let key = text(key)?;
        // SAFETY: the value has the stated size.
        checked(|error| unsafe {
            ebert_group_set(self.0.as_ptr(), key.as_ptr(), value.as_ptr().cast(), value.len(), error)
        })
    }

    /// Waits until a key of the store has a value, and gets it.
    ///
    /// # Errors
    /// If the key has a zero byte, or no value within the time to join.
    pub fn get(&self, key: &str) -> Result<String, TorchError> {
        let key = text(key)?;
        let mut size = 0;
        let ask = |bytes: *mut c_char, size: &mut usize| {
            // SAFETY: `bytes` is null or has room for `size`.
            checked(|error| unsafe { ebert_group_get(self.0.as_ptr(), key.as_ptr(), bytes, size, error) })
        };
        ask(std::ptr::null_mut(), &mut size)?;
        let mut bytes = vec![0u8; size];
        ask(bytes.as_mut_ptr().cast(), &mut size)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Shuts the group down, once all ranks are done.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn shutdown(self) -> Result<(), TorchError> {
        // SAFETY: the group lives.
        checked(|error| unsafe { ebert_group_shutdown(self.0.as_ptr(), error) })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: it was made by `join`, and is not used any more.
        unsafe { ebert_group_free(self.0.as_ptr()) }
    }
}
