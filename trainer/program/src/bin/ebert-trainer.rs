//! Finds libtorch, and starts the trainer with it.
//!
//! A program that is linked to libtorch cannot start without it, so it could not say what is
//! missing either. This one is not linked to it: it looks in `LIBTORCH`, in `LD_LIBRARY_PATH`, in
//! the Python environment that it is installed in, and where libtorch lay when it was built. It
//! checks the version and becomes `ebert-trainer-libtorch`, which is next to it. It also sets up
//! glibc's allocator, which only the environment can do before a program starts.
use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

#[path = "../../../kernels/src/libtorch.rs"]
mod libtorch;

const WANTED: &str = env!("EBERT_TORCH_VERSION");
const BUILT_WITH: &str = env!("EBERT_TORCH_FOLDER");
/// The packages that training on a CPU needs.
const PACKAGES: &str = include_str!("../../../libtorch.txt");

/// Settings with which glibc keeps the memory of freed tensors: nothing is mapped alone, 8 GB may stay
/// free at the end of the heap, and it grows by 64 MiB. By default it returns each large tensor to the
/// system, which then clears every page of the next: a fifth of the CPU time of a small model.
const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_MMAP_MAX_", "0"), ("MALLOC_TRIM_THRESHOLD_", "8000000000"), ("MALLOC_TOP_PAD_", "67108864")];

/// Those of [`ALLOCATOR`] that the user did not set.
fn allocator(is_set: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
    ALLOCATOR.into_iter().filter(|(name, _)| !is_set(name)).collect()
}

fn main() -> ExitCode {
    let error = match same_version().and_then(|()| find()) {
        Ok(lib) => start(&lib),
        Err(error) => error,
    };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// Checks that `ebert`, if it started this program, has the same version.
fn same_version() -> Result<(), String> {
    match env::var_os(ebert_commands::VERSION_VARIABLE) {
        Some(found) if found != ebert_commands::VERSION => Err(format!(
            "`ebert` is version {}, but `ebert-trainer` is {}\nhint: install both from one build: `make trainer`",
            found.display(),
            ebert_commands::VERSION
        )),
        _ => Ok(()),
    }
}

/// The folder of libtorch's libraries.
fn find() -> Result<PathBuf, String> {
    let has_libraries = |lib: &Path| lib.join("libtorch_cpu.so").is_file();
    let version = |lib: &Path| lib.parent().and_then(libtorch::version_of);
    let packages = env::current_exe().map(|program| python_packages(&program)).unwrap_or_default();
    let by_pip = packages.iter().any(|folder| folder.join("ebert/__init__.py").is_file());
    let hint = if by_pip { hint_for_pip() } else { hint_for_make() };
    // What a user names is taken or refused, never passed over.
    if let Some(folder) = env::var_os("LIBTORCH").filter(|folder| !folder.is_empty()) {
        let lib = Path::new(&folder).join("lib");
        if !has_libraries(&lib) {
            return Err(format!("LIBTORCH is `{}`, which has no lib/libtorch_cpu.so\n{hint}", folder.display()));
        }
        return match version(&lib) {
            Some(found) if found != WANTED => {
                Err(format!("libtorch in `{}` is {found}, expected {WANTED}\n{hint}", lib.display()))
            }
            _ => Ok(lib),
        };
    }
    let searched = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&searched).filter(|path| !path.as_os_str().is_empty()).collect();
    places.extend(packages.iter().map(|folder| folder.join("torch/lib")));
    if !by_pip {
        places.push(Path::new(BUILT_WITH).join("lib"));
    }
    let fits = |lib: &&PathBuf| has_libraries(lib) && version(lib).is_some_and(|found| found == WANTED);
    places.iter().find(fits).cloned().ok_or_else(|| {
        let looked = places.iter().map(|lib| match version(lib).filter(|_| has_libraries(lib)) {
            Some(found) => format!("\n  {} ({found})", lib.display()),
            None => format!("\n  {}", lib.display()),
        });
        format!("libtorch {WANTED} was not found; looked in{}\n{hint}", looked.collect::<String>())
    })
}

/// The folders of Python packages of the environment that a program is installed in, such as
/// `lib/python3.12/site-packages` next to `bin`.
fn python_packages(program: &Path) -> Vec<PathBuf> {
    let Some(environment) = program.parent().and_then(Path::parent) else { return Vec::new() };
    let versions = ["lib", "lib64"].into_iter().flat_map(|lib| fs::read_dir(environment.join(lib))).flatten().flatten();
    let versions = versions.filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"));
    let folders = versions.flat_map(|entry| ["site-packages", "dist-packages"].map(|name| entry.path().join(name)));
    // `lib64` may be another name of `lib`.
    let found: BTreeSet<PathBuf> = folders.filter_map(|folder| folder.canonicalize().ok()).collect();
    found.into_iter().collect()
}

fn hint_for_pip() -> String {
    let packages: Vec<&str> = PACKAGES.lines().filter(|line| line.contains("==")).collect();
    format!(
        "hint: run `pip install 'ebert[train]'` in this environment (3 GB); without a GPU, this is enough (0.5 GB):\n      \
         pip install --no-deps {}",
        packages.join(" ")
    )
}

fn hint_for_make() -> String {
    format!(
        "hint: run `make libtorch`; or, where Python has torch {WANTED}, set LIBTORCH to its folder:\n      \
         LIBTORCH=$(python3 -c 'import torch, os; print(os.path.dirname(torch.__file__))')"
    )
}

/// Becomes the trainer; returns what kept it from doing so.
fn start(lib: &Path) -> String {
    let program = match env::current_exe() {
        Ok(me) => me.with_file_name("ebert-trainer-libtorch"),
        Err(error) => return format!("cannot find this program's own folder: {error}"),
    };
    let mut path = OsString::from(lib);
    if let Some(more) = env::var_os("LD_LIBRARY_PATH").filter(|more| !more.is_empty()) {
        path.push(":");
        path.push(more);
    }
    let allocator = allocator(|name| env::var_os(name).is_some());
    let error = Command::new(&program).args(env::args_os().skip(1)).env("LD_LIBRARY_PATH", path).envs(allocator).exec();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "`{}` is missing; it belongs next to `ebert-trainer`\nhint: build both with `make trainer`, and copy both",
            program.display()
        ),
        _ => format!("cannot start `{}`: {error}", program.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_set_of_the_allocator_stays() {
        assert_eq!(allocator(|_| false), ALLOCATOR);
        assert_eq!(allocator(|name| name == "MALLOC_MMAP_MAX_"), ALLOCATOR[1..]);
    }
}
