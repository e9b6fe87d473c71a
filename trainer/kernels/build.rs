//! Compiles the C++ files against libtorch, and passes libtorch's folder to the linker.
use std::{
    env, fs,
    path::{Path, PathBuf},
};

#[path = "src/libtorch.rs"]
mod libtorch;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=../libtorch.txt");
    println!("cargo:rerun-if-changed=native");
    println!("cargo:rerun-if-changed=src/libtorch.rs");
    let stated = fs::read_to_string("../libtorch.txt").unwrap_or_default();
    let Some(wanted) = stated.lines().find_map(|line| line.strip_prefix("torch==")) else {
        panic!("trainer/libtorch.txt has no line `torch==…`");
    };
    println!("cargo:rustc-env=EBERT_TORCH_VERSION={wanted}");
    let Some(libtorch) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        panic!("LIBTORCH is not set\nhint: run `make libtorch`, which installs it, and build with `make`");
    };
    match libtorch::version_of(&libtorch) {
        Some(found) if found == wanted => {}
        Some(found) => panic!("libtorch in {} is {found}, expected {wanted}", libtorch.display()),
        None => panic!("no libtorch in {}\nhint: run `make libtorch`, which installs it", libtorch.display()),
    }
    let lib = libtorch.join("lib");
    // For the build scripts of the crates above.
    println!("cargo:folder={}", libtorch.display());
    println!("cargo:version={wanted}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo:rustc-link-search=native={}", lib.display());
    let mut native = compiler(&libtorch);
    for part in ["native", "group", "fused", "cpu"] {
        native.file(format!("native/ebert_{part}.cpp"));
    }
    if env::var_os("CARGO_FEATURE_GLOO").is_some() {
        native.define("EBERT_GLOO", None);
        println!("cargo:rerun-if-env-changed=GLOO_INCLUDE");
        if let Some(include) = env::var_os("GLOO_INCLUDE") {
            native.include(include);
        }
    }
    native.compile("ebert_native");
    if env::var_os("CARGO_FEATURE_NCCL").is_some() {
        nccl_library(&libtorch);
    }
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
}

/// A compiler for libtorch's headers.
fn compiler(libtorch: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-fopenmp-simd")
        .warnings(false);
    build
}

/// Builds `libebert_nccl.so`, which needs libtorch's CUDA part, so it is loaded only where there is
/// a GPU. It belongs next to the programs.
fn nccl_library(libtorch: &Path) {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let Some(programs) = out.ancestors().nth(3) else { panic!("no folder of programs above {}", out.display()) };
    // The wheels are next to torch's: nvidia/nccl/include, nvidia/cu13/include.
    let wheels =
        libtorch.canonicalize().ok().and_then(|torch| Some(torch.parent()?.join("nvidia"))).unwrap_or_default();
    let folders = fs::read_dir(&wheels).into_iter().flatten().flatten().map(|entry| entry.path().join("include"));
    let folders = folders.flat_map(|include| [include.join("cccl"), include]).filter(|include| include.is_dir());
    let mut build = compiler(libtorch);
    build.includes(folders).pic(true);
    let mut command = build.get_compiler().to_command();
    let lib = libtorch.join("lib");
    command.args(["-shared", "-o"]).arg(programs.join("libebert_nccl.so")).arg("native/ebert_nccl.cpp");
    command.arg("-L").arg(&lib).args(["-Wl,--no-as-needed", "-ltorch_cuda", "-lc10_cuda", "-ltorch_cpu", "-lc10"]);
    match command.status() {
        Ok(status) if status.success() => {}
        failure => panic!(
            "cannot build libebert_nccl.so: {failure:?}\nhint: it needs the CUDA wheels of torch; without --features nccl it is left out"
        ),
    }
}
