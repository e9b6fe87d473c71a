//! The overview of all commands, in groups. Clap lists commands without any.
use std::fmt::Write;

use clap::Command;

/// Commands by purpose.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    ("Data", &["check", "shards", "mine", "titles"]),
    ("Training", &["pretrain", "finetune", "grid", "bench", "doctor"]),
    ("Use", &["fill-mask", "embed", "similar", "probe", "claims", "evaluate", "attention"]),
    ("Inspect", &["inspect", "verify", "report", "curves"]),
    ("Single steps of `ebert shards`", &["corpus", "pool", "graph", "encode", "pairs", "seal"]),
    ("Many machines", &["plan", "worker"]),
    ("Other", &["train-tagger", "evaluate-tagger", "completions", "man", "help"]),
];

/// Sets the overview of the program.
pub(crate) fn grouped(mut command: Command) -> Command {
    // Adds `help`.
    command.build();
    let overview = overview(&command);
    let heading = command.get_styles().get_header();
    let options = format!("{heading}Options:{heading:#}");
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{overview}{options}\n{{options}}{{after-help}}\n"
    ))
}

fn overview(command: &Command) -> String {
    let (heading, name_style) = (command.get_styles().get_header(), command.get_styles().get_literal());
    let width = command.get_subcommands().map(|command| command.get_name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (group, names) in GROUPS {
        // Writing to a string never fails.
        let _ = writeln!(text, "{heading}{group}:{heading:#}");
        for command in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let (name, about) = (command.get_name(), command.get_about().map(ToString::to_string).unwrap_or_default());
            let _ = writeln!(text, "  {name_style}{name:width$}{name_style:#}  {about}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let command = crate::ebert();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut all: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }

    /// Clap does not wrap this text.
    #[test]
    fn the_overview_fits_its_columns() {
        let plain = crate::ebert().styles(clap::builder::Styles::plain());
        for line in overview(&plain).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        crate::ebert().debug_assert();
    }

    /// An option that is listed twice, or under no heading of a command with headings, is a mistake.
    #[test]
    fn long_commands_have_their_options_under_headings() {
        for name in [
            "shards", "plan", "worker", "corpus", "pool", "graph", "encode", "pairs", "seal", "pretrain", "finetune",
            "probe", "embed",
        ] {
            let ebert = crate::ebert();
            let command = ebert.find_subcommand(name).unwrap();
            for option in command.get_opts().filter(|option| !["help", "version"].contains(&option.get_id().as_str())) {
                assert!(option.get_help_heading().is_some(), "{name} --{}", option.get_id());
            }
        }
    }
}
