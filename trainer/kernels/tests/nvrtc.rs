//! Compiles the CUDA code with NVIDIA's NVRTC, as
//! [`FusedKernels::compile`](ebert_kernels::fused::FusedKernels::compile) does, for each
//! architecture that the fused layers support. NVRTC needs no GPU.
//!
//! EBERT_NVRTC is the path of `libnvrtc.so.13`; `make test` sets it. Without it the tests print
//! that they are skipped, or fail if EBERT_REQUIRE_NVRTC is 1.
use std::{
    env,
    ffi::{CStr, CString, OsStr, c_char, c_int, c_void},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
};

use ebert_kernels::fused::{Widths, nvrtc_options, program};

/// The kernels that `ebert_fused.cpp` looks up by name.
const KERNELS: [&str; 8] = [
    "residual_norm",
    "residual_norm_backward",
    "bias_gelu",
    "bias_gelu_backward",
    "column_sums",
    "add_parts",
    "cross_entropy",
    "cross_entropy_backward",
];

/// A100, RTX 30, H100 with and without its own instructions, B200, RTX 50.
const ARCHITECTURES: [&str; 6] = ["sm_80", "sm_86", "sm_90", "sm_90a", "sm_100", "sm_120"];

/// BERT-base, and the narrowest and widest models that have kernels.
const WIDTHS: [[i64; 2]; 3] = [[768, 3072], [128, 256], [1536, 8192]];

type Create = unsafe extern "C" fn(
    *mut *mut c_void,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(*mut c_void, c_int, *const *const c_char) -> c_int;
type SizeOf = unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int;
type Copy = unsafe extern "C" fn(*mut c_void, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut *mut c_void) -> c_int;

/// The functions of NVRTC that these tests call. Each returns 0 on success.
struct Nvrtc {
    create: Create,
    compile: Compile,
    log_size: SizeOf,
    log: Copy,
    cubin_size: SizeOf,
    cubin: Copy,
    destroy: Destroy,
}

/// What NVRTC made of a program.
#[derive(Debug)]
struct Compiled {
    /// Code for the GPU, an ELF file.
    cubin: Vec<u8>,
    /// Warnings.
    log: String,
}

impl Nvrtc {
    /// Loads the library that EBERT_NVRTC names. Without the variable, prints that the test is
    /// skipped.
    fn find() -> Option<Self> {
        let Some(path) = env::var_os("EBERT_NVRTC").filter(|path| !path.is_empty()).map(PathBuf::from) else {
            let required = env::var("EBERT_REQUIRE_NVRTC").is_ok_and(|value| value == "1");
            assert!(!required, "EBERT_REQUIRE_NVRTC is 1, and EBERT_NVRTC does not name libnvrtc.so.13");
            println!(
                "skipped: EBERT_NVRTC does not name libnvrtc.so.13; `make test` installs it and sets the variable"
            );
            return None;
        };
        // NVRTC opens this library by its name alone, and finds it if it is loaded.
        let builtins = fs::read_dir(path.parent().unwrap_or(Path::new("."))).into_iter().flatten().flatten();
        let builtins = builtins.map(|entry| entry.path()).filter(|file| {
            let name = file.file_name().unwrap_or_default().as_bytes();
            name.starts_with(b"libnvrtc-builtins.so")
        });
        for file in builtins {
            load(file.as_os_str());
        }
        let library = load(path.as_os_str());
        // SAFETY: the types are those of NVRTC's manual, and the library stays loaded.
        unsafe {
            Some(Self {
                create: std::mem::transmute::<*mut c_void, Create>(symbol(library, c"nvrtcCreateProgram")),
                compile: std::mem::transmute::<*mut c_void, Compile>(symbol(library, c"nvrtcCompileProgram")),
                log_size: std::mem::transmute::<*mut c_void, SizeOf>(symbol(library, c"nvrtcGetProgramLogSize")),
                log: std::mem::transmute::<*mut c_void, Copy>(symbol(library, c"nvrtcGetProgramLog")),
                cubin_size: std::mem::transmute::<*mut c_void, SizeOf>(symbol(library, c"nvrtcGetCUBINSize")),
                cubin: std::mem::transmute::<*mut c_void, Copy>(symbol(library, c"nvrtcGetCUBIN")),
                destroy: std::mem::transmute::<*mut c_void, Destroy>(symbol(library, c"nvrtcDestroyProgram")),
            })
        }
    }

    /// Compiles a program, or returns the compiler's log.
    fn compile(&self, source: &str, options: &[String]) -> Result<Compiled, String> {
        let source = CString::new(source).unwrap();
        let options: Vec<CString> = options.iter().map(|option| CString::new(option.as_str()).unwrap()).collect();
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = ptr::null_mut();
        // SAFETY: the texts end with a zero and outlive the program; each buffer has the size that
        // NVRTC asks for.
        unsafe {
            let created =
                (self.create)(&mut program, source.as_ptr(), c"fused.cu".as_ptr(), 0, ptr::null(), ptr::null());
            assert_eq!(created, 0, "nvrtcCreateProgram");
            let code = (self.compile)(program, options.len() as c_int, options.as_ptr());
            let log = text(read(program, self.log_size, self.log));
            let cubin = if code == 0 { read(program, self.cubin_size, self.cubin) } else { Vec::new() };
            (self.destroy)(&mut program);
            if code == 0 { Ok(Compiled { cubin, log }) } else { Err(log) }
        }
    }
}

/// Copies one result of a program.
///
/// # Safety
/// The program is alive, and `copy` writes as many bytes as `size_of` states.
unsafe fn read(program: *mut c_void, size_of: SizeOf, copy: Copy) -> Vec<u8> {
    let mut size = 0;
    // SAFETY: the caller's.
    assert_eq!(unsafe { size_of(program, &mut size) }, 0);
    let mut bytes = vec![0; size];
    // SAFETY: the caller's.
    assert_eq!(unsafe { copy(program, bytes.as_mut_ptr().cast()) }, 0);
    bytes
}

fn text(mut bytes: Vec<u8>) -> String {
    bytes.retain(|&byte| byte != 0);
    String::from_utf8(bytes).unwrap()
}

fn load(path: &OsStr) -> *mut c_void {
    let name = CString::new(path.as_bytes()).unwrap();
    // SAFETY: the name ends with a zero; the library is NVIDIA's and stays loaded.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!library.is_null(), "{name:?} does not load");
    library
}

fn symbol(library: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: the library is loaded, and the name ends with a zero.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!symbol.is_null(), "no function {name:?}");
    symbol
}

fn options(architecture: &str, [hidden, inner]: [i64; 2]) -> [String; 4] {
    let widths = Widths { hidden, inner, heads: hidden / 64 };
    assert!(widths.fit());
    nvrtc_options(architecture, widths)
}

#[test]
fn every_architecture_compiles() {
    let Some(nvrtc) = Nvrtc::find() else { return };
    for widths in WIDTHS {
        for architecture in ARCHITECTURES {
            let options = options(architecture, widths);
            let compiled = nvrtc.compile(&program(), &options).unwrap_or_else(|log| panic!("{options:?}: {log}"));
            assert_eq!(compiled.log.trim(), "", "{options:?}");
            assert!(compiled.cubin.starts_with(b"\x7fELF"), "{options:?}");
            for kernel in KERNELS {
                // Each kernel has a section of its own.
                let section = [b".text.", kernel.as_bytes(), b"\0"].concat();
                let found = compiled.cubin.windows(section.len()).any(|bytes| bytes == section);
                assert!(found, "no kernel `{kernel}` with {options:?}");
            }
        }
    }
}

#[test]
fn errors_are_reported_with_file_and_line() {
    let Some(nvrtc) = Nvrtc::find() else { return };
    let options = options("sm_80", [768, 3072]);
    let broken = program().replace("#line 1 \"fused.cu\"\n", "#line 1 \"fused.cu\"\nint broken = ;\n");
    let log = nvrtc.compile(&broken, &options).unwrap_err();
    assert!(log.contains("fused.cu(1): error"), "{log}");
    // A function that the device does not have.
    let log = nvrtc.compile(&(program() + "__device__ void call() { absent(); }\n"), &options).unwrap_err();
    assert!(log.contains("absent"), "{log}");
    // Shared memory that no GPU has: the assembler refuses it, not the front end.
    let wide = "extern \"C\" __global__ void wide(float *out) {\n  __shared__ float all[1 << 20];\n  \
                all[threadIdx.x] = 1;\n  __syncthreads();\n  *out = all[*reinterpret_cast<int *>(out)];\n}\n";
    let log = nvrtc.compile(&(program() + wide), &options).unwrap_err();
    assert!(log.contains("shared"), "{log}");
    let log = nvrtc.compile(&program(), &self::options("sm_1", [768, 3072])).unwrap_err();
    assert!(log.contains("gpu-architecture"), "{log}");
}
