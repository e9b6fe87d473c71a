//! Compiles the one C++ file against libtorch, and tells the linker where libtorch lies.
use std::{env, fs, path::PathBuf};

#[path = "src/libtorch.rs"]
mod libtorch;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=libtorch.txt");
    println!("cargo:rerun-if-changed=native");
    println!("cargo:rerun-if-changed=src/libtorch.rs");
    let stated = fs::read_to_string("libtorch.txt").unwrap_or_default();
    let Some(wanted) = stated.lines().find_map(|line| line.strip_prefix("torch==")) else {
        panic!("trainer/libtorch.txt has no line `torch==…`");
    };
    println!("cargo:rustc-env=EBERT_TORCH_VERSION={wanted}");
    let Some(libtorch) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        panic!("LIBTORCH is not set\nhint: run `make libtorch`, which installs it, and build with `make`");
    };
    match libtorch::version_of(&libtorch) {
        Some(found) if found == wanted => {}
        Some(found) => panic!("libtorch in {} is {found}, wanted {wanted}", libtorch.display()),
        None => panic!("no libtorch in {}\nhint: run `make libtorch`, which installs it", libtorch.display()),
    }
    let lib = libtorch.join("lib");
    println!("cargo:rustc-env=EBERT_TORCH_FOLDER={}", libtorch.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo:rustc-link-search=native={}", lib.display());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include(libtorch.join("include"))
        .flag_if_supported("-Wno-unused-parameter")
        .warnings(false)
        .file("native/ebert_native.cpp")
        .compile("ebert_native");
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
}
