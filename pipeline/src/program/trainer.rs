//! The way to the trainer: `ebert` replaces itself with `ebert-trainer`, so signals, exit status and the environment of
//! a launcher such as `torchrun` need no handling here.
use std::{
    env, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use ebert_commands::{FETCHED_VARIABLE, VERSION, VERSION_VARIABLE};

/// The trainer's program.
const TRAINER: &str = "ebert-trainer";

/// The trainer cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrainerError {
    /// There is none.
    #[error(
        "`ebert {command}` needs `{TRAINER}`, which is neither next to `{}` nor on the PATH\n\
         hint: build it with `make trainer`, and copy `{TRAINER}` and `{TRAINER}-libtorch` next to `ebert`",
        program.display()
    )]
    Missing {
        /// The command.
        command: &'static str,
        /// This program.
        program: PathBuf,
    },
    /// It is there but does not start.
    #[error("cannot start `{}`", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Becomes the trainer with the same arguments; returns why it did not. `fetched` is where shards of an object store
/// are.
pub(crate) fn become_trainer(command: &'static str, fetched: Option<&Path>) -> TrainerError {
    let program = env::current_exe().unwrap_or_else(|_| "ebert".into());
    let Some(path) = find(&program) else { return TrainerError::Missing { command, program } };
    let mut program = Command::new(&path);
    program.args(env::args_os().skip(1)).env(VERSION_VARIABLE, VERSION);
    let source = program.envs(fetched.map(|folder| (FETCHED_VARIABLE, folder))).exec();
    TrainerError::Start { path, source }
}

/// The trainer next to this program, or on the PATH.
fn find(program: &Path) -> Option<PathBuf> {
    let next_to = program.with_file_name(TRAINER);
    let on_path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&on_path).map(|folder| folder.join(TRAINER));
    std::iter::once(next_to).chain(on_path).find(|path| path.is_file())
}
