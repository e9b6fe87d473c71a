//! The build script of the crates above `ebert-kernels`: their programs and tests find libtorch
//! where it was at build time.
use std::env;

fn main() {
    // Without any such line, each change of a package runs this again. A file that is missing does so at each build.
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let of_kernels = |name: &str| env::var(format!("DEP_EBERT_NATIVE_{name}")).unwrap_or_default();
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}/lib", of_kernels("FOLDER"));
    println!("cargo:rustc-env=EBERT_TORCH_FOLDER={}", of_kernels("FOLDER"));
    println!("cargo:rustc-env=EBERT_TORCH_VERSION={}", of_kernels("VERSION"));
}
