//! Where to compute: which libtorch is loaded, and whether a GPU can be used.
use std::{
    ffi::{CStr, CString},
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tch::{Cuda, Device};

/// The version of libtorch that this program was built for.
pub const TORCH_VERSION: &str = env!("EBERT_TORCH_VERSION");

/// The first branch of NVIDIA's driver for the CUDA 13 of that libtorch.
const OLDEST_DRIVER: u32 = 580;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// A GPU where there is one.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU.
    Cuda,
}

/// The device cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeviceError {
    /// libtorch is of another version.
    #[error(
        "libtorch is {found}, expected {TORCH_VERSION}\n\
         hint: point LIBTORCH at a folder of torch {TORCH_VERSION}, or run `make libtorch`; `ebert doctor` shows what is found"
    )]
    Version {
        /// Its version.
        found: String,
    },
    /// Fewer GPUs than processes.
    #[error(
        "this is process {number} of its machine, counted from 0, which has {gpus} GPUs\n\
         hint: start {gpus} processes per machine: `torchrun --nproc-per-node={gpus} …`"
    )]
    TooFew {
        /// Number of the process.
        number: usize,
        /// GPUs that can be used.
        gpus: i64,
    },
    /// A GPU was asked for.
    #[error("no GPU can be used: {why}\nhint: `ebert doctor` shows what is found; `--device cpu` trains on the CPU")]
    NoGpu {
        /// Why not.
        why: String,
    },
}

/// What there is to compute on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Version of the loaded libtorch, if it is known.
    pub torch: Option<String>,
    /// The file that `libtorch_cpu` was loaded from.
    pub torch_file: Option<PathBuf>,
    /// GPUs that the driver knows, by name.
    pub gpus: Vec<String>,
    /// The version of NVIDIA's driver, if there is one.
    pub driver: Option<String>,
    /// Whether libtorch's CUDA part is loaded, or why it is not.
    pub cuda: Result<(), String>,
    /// GPUs that libtorch can use.
    pub usable: i64,
    /// Threads of the CPU.
    pub threads: i32,
}

impl Machine {
    /// Looks at the machine. If there is a GPU, loads libtorch's CUDA part: the program itself is
    /// linked to the CPU's alone, so that it starts anywhere.
    pub fn look() -> Self {
        let torch_file = loaded_file("libtorch_cpu.so");
        let gpus = gpus();
        let cuda = match &torch_file {
            _ if gpus.is_empty() => Err("this process sees no NVIDIA GPU".to_owned()),
            None => Err("libtorch was not found among the loaded files".to_owned()),
            Some(file) => load(&file.with_file_name("libtorch_cuda.so")),
        };
        let usable = if cuda.is_ok() { Cuda::device_count() } else { 0 };
        let (torch, driver, threads) = (torch_version(), driver(), tch::get_num_threads());
        Self { torch, torch_file, gpus, driver, cuda, usable, threads }
    }

    /// The device for a wish. `number` is that of the GPU on this machine, unless this process
    /// sees one GPU only.
    ///
    /// # Errors
    /// When libtorch is of another version, or a GPU was wished for and there is none.
    pub fn device(&self, wish: Wish, number: usize) -> Result<Device, DeviceError> {
        match &self.torch {
            Some(found) if found != TORCH_VERSION => return Err(DeviceError::Version { found: found.clone() }),
            _ => {}
        }
        let one = |devices: String| !devices.is_empty() && !devices.contains(',');
        let one = std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(one);
        let number = if one && self.usable == 1 { 0 } else { number };
        match wish {
            Wish::Cpu => Ok(Device::Cpu),
            Wish::Auto if self.usable > number as i64 => Ok(Device::Cuda(number)),
            // A GPU that is there and cannot be used is not passed over in silence.
            Wish::Auto if self.gpus.is_empty() => Ok(Device::Cpu),
            Wish::Auto | Wish::Cuda => match &self.cuda {
                _ if self.usable > number as i64 => Ok(Device::Cuda(number)),
                Ok(()) if self.usable > 0 => Err(DeviceError::TooFew { number, gpus: self.usable }),
                Err(why) => Err(DeviceError::NoGpu { why: why.clone() }),
                Ok(()) => Err(DeviceError::NoGpu { why: "libtorch sees none".to_owned() }),
            },
        }
    }
}

/// GPUs that this process may use, by name. `/proc` lists those of the whole machine, even in a
/// container. The device files say which of them this process can use.
fn gpus() -> Vec<String> {
    if std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|devices| devices.is_empty() || devices == "-1") {
        return Vec::new();
    }
    let devices = fs::read_dir("/dev").into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name == "dxg"
            || name.strip_prefix("nvidia").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    });
    let devices = devices.count();
    let folders = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut names: Vec<String> = folders
        .filter_map(|folder| {
            let text = fs::read_to_string(folder.path().join("information")).ok()?;
            Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned())
        })
        .collect();
    names.sort();
    names.resize(devices, "NVIDIA GPU".to_owned());
    names
}

/// The version of NVIDIA's driver: of the kernel module, or what `nvidia-smi` prints where there is
/// none, as in WSL.
fn driver() -> Option<String> {
    if let Ok(text) = fs::read_to_string("/proc/driver/nvidia/version") {
        return driver_version(&text);
    }
    let output = Command::new("nvidia-smi").args(["--query-gpu=driver_version", "--format=csv,noheader"]).output();
    driver_version(&String::from_utf8_lossy(&output.ok().filter(|output| output.status.success())?.stdout))
}

/// The first word of a text that is a version, such as `580.95.05`.
fn driver_version(text: &str) -> Option<String> {
    let is_version = |word: &&str| {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        word.contains('.') && word.split('.').all(is_number)
    };
    text.lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}

/// Whether a driver is older than the first one for the CUDA of libtorch.
fn is_too_old(driver: &str) -> bool {
    driver.split('.').next().and_then(|branch| branch.parse().ok()).is_some_and(|branch: u32| branch < OLDEST_DRIVER)
}

/// The version that the loaded libtorch reports.
fn torch_version() -> Option<String> {
    let settings = crate::build_settings().ok()?;
    let (_, rest) = settings.split_once("TORCH_VERSION=")?;
    Some(rest.split([',', ' ', '\n']).next()?.to_owned())
}

/// The file that a library of this process was loaded from.
fn loaded_file(name: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        path.ends_with(&format!("/{name}")).then(|| PathBuf::from(path))
    })
}

/// Loads a library for the whole process, until its end.
fn load(file: &Path) -> Result<(), String> {
    if !file.is_file() {
        return Err(format!("`{}` is not there: this libtorch is for the CPU alone", file.display()));
    }
    let name = CString::new(file.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
    // SAFETY: the name ends with a zero. libtorch's initializers run, as they do in a program that
    // is linked to it.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: dlerror gives a string that ends with a zero, or null.
    let error = unsafe { libc::dlerror() };
    if error.is_null() {
        return Err(format!("`{}` cannot be loaded", file.display()));
    }
    // SAFETY: not null, and valid until the next call.
    Err(unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.torch_file.as_ref().map_or("not found".into(), |file| file.display().to_string());
        let version = self.torch.as_deref().unwrap_or("of an unknown version");
        let verdict = if self.torch.as_deref() == Some(TORCH_VERSION) { "" } else { "   wrong" };
        writeln!(f, "libtorch  {version} (expected {TORCH_VERSION}){verdict}   {file}")?;
        writeln!(f, "cpu       {} threads", self.threads)?;
        match self.gpus.as_slice() {
            [] => writeln!(f, "gpu       none that this process sees")?,
            gpus => gpus.iter().try_for_each(|gpu| writeln!(f, "gpu       {gpu}"))?,
        }
        let old = self.driver.as_deref().is_some_and(is_too_old);
        match &self.driver {
            Some(version) => writeln!(f, "driver    {version}{}", if old { "   too old" } else { "" })?,
            None => writeln!(f, "driver    no NVIDIA driver")?,
        }
        match &self.cuda {
            Ok(()) => writeln!(f, "cuda      loaded; libtorch can use {} GPU(s)", self.usable)?,
            Err(why) => writeln!(f, "cuda      not loaded: {why}")?,
        }
        if self.torch.as_deref() != Some(TORCH_VERSION) {
            writeln!(f, "hint      point LIBTORCH at a folder of torch {TORCH_VERSION}, or run `make libtorch`")?;
        } else if old {
            writeln!(f, "hint      install NVIDIA's driver {OLDEST_DRIVER} or newer, which libtorch's CUDA 13 needs")?;
        } else if !self.gpus.is_empty() && self.usable == 0 {
            writeln!(
                f,
                "hint      install all of torch, with its CUDA wheels: `make libtorch` does where it sees a GPU; \
                 or point LIBTORCH at a folder of torch {TORCH_VERSION} that Python can use"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_driver_is_found_in_what_it_prints() {
        for (text, version, old) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23 08:34:56 UTC 2025\nGCC version:  gcc 12.2.0\n",
                Some("570.86.15"),
                true,
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (builder@host)  Tue Sep 23\n",
                Some("580.95.05"),
                false,
            ),
            ("590.44\n590.44\n", Some("590.44"), false),
            ("NVIDIA-SMI has failed because it could not communicate with the driver.\n", None, false),
            ("NVRM version: unknown\nGCC version:  gcc 12.2.0\n", None, false),
            ("", None, false),
        ] {
            let found = driver_version(text);
            assert_eq!((found.as_deref(), found.as_deref().is_some_and(is_too_old)), (version, old), "{text}");
        }
    }
}
