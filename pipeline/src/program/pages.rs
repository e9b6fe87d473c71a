//! `ebert completions` and `ebert man`.
use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use ebert_commands::Shell;

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> io::Result<()> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut ebert_commands::ebert(), "ebert", &mut script);
    io::stdout().lock().write_all(&script)
}

/// Prints the manual page of the program, or writes a page per command to a folder.
pub(crate) fn man(folder: Option<&Path>) -> io::Result<()> {
    // Pages have their own overview of commands.
    let command = ebert_commands::ebert().disable_help_subcommand(true);
    match folder {
        Some(folder) => {
            fs::create_dir_all(folder)?;
            clap_mangen::generate_to(command, folder)
        }
        None => clap_mangen::Man::new(command).render(&mut io::stdout().lock()),
    }
}
