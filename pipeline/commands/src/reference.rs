//! `docs/commands.md`: the help of all commands. The test writes it if `EBERT_BLESS` is 1, and otherwise compares.
use std::{env, fmt::Write, fs, path::Path};

use clap::{Command, builder::Styles};

use crate::help::GROUPS;

/// Columns of a line.
const WIDTH: usize = 100;

/// The page.
fn page(ebert: &Command) -> String {
    let mut page = "# Commands\n\nThe help of each command, as `ebert COMMAND --help` prints it.\n".to_owned();
    for (group, names) in GROUPS {
        // Writing to a string never fails.
        let _ = writeln!(page, "\n## {group}");
        for command in names.iter().filter(|name| **name != "help").filter_map(|name| ebert.find_subcommand(name)) {
            section(command, &format!("ebert {}", command.get_name()), &mut page);
        }
    }
    page
}

/// A command and those below it.
fn section(command: &Command, name: &str, page: &mut String) {
    let plain = command.clone().bin_name(name).styles(Styles::plain()).term_width(WIDTH);
    let plain = plain.disable_help_flag(true).disable_help_subcommand(true);
    // A help flag that was added before stays, unless it is hidden.
    let mut plain = plain.mut_args(|arg| if arg.get_id() == "help" { arg.hide(true) } else { arg });
    let help = plain.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = writeln!(page, "\n### {name}\n\n```\n{}\n```", lines.join("\n").trim());
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        section(below, &format!("{name} {}", below.get_name()), page);
    }
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let page = page(&crate::ebert());
    for line in page.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
    if env::var("EBERT_BLESS").is_ok_and(|value| value == "1") {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/commands.md is stale: run EBERT_BLESS=1 cargo test --release -p ebert-commands");
}
