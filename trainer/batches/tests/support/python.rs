// A Python for tests.
use std::{env, path::PathBuf, process::Command};

/// Python with these modules: `EBERT_PYTHON`, or that of `make parity` or `make test` in the target
/// folder. Where there is none, it prints that the test is skipped.
pub(crate) fn python(modules: &[&str]) -> Option<PathBuf> {
    let program = env::current_exe().unwrap();
    let target = program.ancestors().nth(3).unwrap();
    let of_target = ["parity", "venv"].map(|name| target.join(name).join("bin/python"));
    let import = format!("import {}", modules.join(", "));
    let has_modules = |python: &PathBuf| {
        Command::new(python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    };
    let found = env::var_os("EBERT_PYTHON").map(PathBuf::from).into_iter().chain(of_target).find(has_modules);
    if found.is_none() {
        println!("skipped: neither EBERT_PYTHON nor `make parity` has a Python with {}", modules.join(" and "));
    }
    found
}
