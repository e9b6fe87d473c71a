//! Messages quote commands that the reader can type: those of `ebert`, or targets of the Makefile for people who ran
//! make. Libraries write the former in backticks. [`Wording`] turns them into the latter at the edge of a program.
use std::borrow::Cow;

/// The variable that the Makefile sets when it runs the programs.
const MAKE: &str = "EBERT_MAKE";

/// A command that a target of the Makefile runs.
struct Target {
    command: &'static str,
    target: &'static str,
    /// The variable of the command's first argument.
    argument: Option<&'static str>,
    /// Variables of options.
    options: &'static [(&'static str, &'static str)],
}

const TARGETS: &[Target] = &[
    Target {
        command: "shards",
        target: "shards",
        argument: None,
        options: &[
            ("--corpus", "CORPUS"),
            ("--config", "CONFIG"),
            ("--init", "INIT"),
            ("--associations", "ASSOCIATIONS"),
            ("--pool", "POOL"),
            ("--quality-list", "QUALITY_LIST"),
            ("--entity-list", "ENTITY_LIST"),
            ("--tokenizer", "TOKENIZER"),
            ("--out", "OUT"),
            ("--min-score", "MIN_SCORE"),
            ("--min-score-single", "MIN_SCORE_SINGLE"),
            ("--seed", "SEED"),
            ("--threads", "THREADS"),
            ("--nouns", "NOUNS"),
            ("--negatives", "NEGATIVES"),
        ],
    },
    Target { command: "inspect", target: "inspect", argument: Some("OUT"), options: &[] },
    Target { command: "verify", target: "verify", argument: Some("OUT"), options: &[] },
    Target {
        command: "pretrain",
        target: "pretrain",
        argument: None,
        options: &[
            ("--shards", "OUT"),
            ("--recipe", "RECIPE"),
            ("--init", "INIT"),
            ("--out", "RUN"),
            ("--threads", "THREADS"),
        ],
    },
    Target {
        command: "finetune",
        target: "finetune",
        argument: None,
        options: &[
            ("--model", "MODEL"),
            ("--task", "TASK"),
            ("--data", "DATA"),
            ("--out", "RUN"),
            ("--seed", "SEED"),
            ("--threads", "THREADS"),
        ],
    },
    Target { command: "grid", target: "report", argument: Some("GRID"), options: &[("--threads", "THREADS")] },
    Target { command: "doctor", target: "doctor", argument: None, options: &[] },
];

/// The words for commands and options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wording {
    make: bool,
    command: &'static str,
}

impl Wording {
    /// The words for someone who ran this command of `ebert`, under make or not.
    pub fn of(command: &'static str) -> Self {
        Self { make: std::env::var_os(MAKE).is_some_and(|value| !value.is_empty()), command }
    }

    /// A message, with each command and option in backticks as the reader would type it.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.make || !text.contains('`') {
            return Cow::Borrowed(text);
        }
        // A backtick in what a message quotes has no effect on other lines.
        Cow::Owned(text.split_inclusive('\n').map(|line| self.line(line)).collect())
    }

    fn line(&self, line: &str) -> String {
        let mut parts = line.split('`');
        let mut out = parts.next().unwrap_or_default().to_owned();
        let parts: Vec<&str> = parts.collect();
        for (number, part) in parts.iter().enumerate() {
            let quoted = number % 2 == 0 && number + 1 < parts.len();
            out.push('`');
            match quoted.then(|| self.command(part)) {
                Some(words) => out += &words,
                None => out += part,
            }
        }
        out
    }

    /// A command or an option, such as `ebert inspect real` or `--out DIR`. Other words stay as they are.
    pub fn command<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let made = || {
            if let Some(call) = text.strip_prefix("ebert ") {
                let (command, rest) = call.split_once(' ').unwrap_or((call, ""));
                let target = TARGETS.iter().find(|target| target.command == command)?;
                let variables = variables(target, rest);
                return Some(format!(
                    "make {}{}{variables}",
                    target.target,
                    if variables.is_empty() { "" } else { " " }
                ));
            }
            if !text.starts_with("--") {
                return None;
            }
            let target = TARGETS.iter().find(|target| target.command == self.command)?;
            Some(variables(target, text))
        };
        if self.make { made().map_or(Cow::Borrowed(text), Cow::Owned) } else { Cow::Borrowed(text) }
    }
}

/// Arguments as variables of make. Those without one are in `ARGS`.
fn variables(target: &Target, arguments: &str) -> String {
    let (mut variables, mut others) = (Vec::new(), Vec::new());
    let mut argument = target.argument;
    let mut words = split(arguments).into_iter().peekable();
    while let Some(word) = words.next() {
        let variable = target.options.iter().find(|(option, _)| *option == word).map(|(_, variable)| *variable);
        let value = if word.starts_with("--") { words.next_if(|next| !next.starts_with("--")) } else { None };
        match (variable, value) {
            (Some(variable), value) => variables.push(format!("{variable}={}", value.unwrap_or(""))),
            (None, Some(value)) => others.push(format!("{word} {value}")),
            (None, None) => match argument.take().filter(|_| !word.starts_with("--")) {
                Some(variable) => variables.push(format!("{variable}={word}")),
                None => others.push(word.to_owned()),
            },
        }
    }
    if !others.is_empty() {
        let others = others.join(" ");
        let quotes = if others.contains(' ') { "\"" } else { "" };
        variables.push(format!("ARGS={quotes}{others}{quotes}"));
    }
    variables.join(" ")
}

/// Words of a shell. Those in single quotes may have spaces, and keep the quotes.
fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let between = |c: char| {
        quoted ^= c == '\'';
        c == ' ' && !quoted
    };
    text.split(between).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_who_ran_make_read_its_targets_and_variables() {
        let words = Wording { make: true, command: "shards" };
        for (text, wanted) in [
            ("run `ebert shards` again", "run `make shards` again"),
            (
                "run `ebert shards --out 'a b' --max-tokens 120`",
                "run `make shards OUT='a b' ARGS=\"--max-tokens 120\"`",
            ),
            ("`ebert inspect real --rows 2`", "`make inspect OUT=real ARGS=\"--rows 2\"`"),
            ("choose `--out DIR`, or `--force`", "choose `OUT=DIR`, or `ARGS=--force`"),
            ("raise `--min-support`", "raise `ARGS=--min-support`"),
            ("lower `--min-score`", "lower `MIN_SCORE=`"),
            ("`ebert grid grid.toml`", "`make report GRID=grid.toml`"),
            ("`ebert mine TEXT` and `data/work`", "`ebert mine TEXT` and `data/work`"),
            ("an odd ` stays", "an odd ` stays"),
        ] {
            assert_eq!(words.text(text), wanted);
        }
        let pretrain = Wording { make: true, command: "pretrain" };
        assert_eq!(pretrain.text("choose `--out DIR`"), "choose `RUN=DIR`");
        assert_eq!(
            pretrain.command("ebert pretrain --shards real --recipe e-bert --set seed=1"),
            "make pretrain OUT=real RECIPE=e-bert ARGS=\"--set seed=1\""
        );
    }

    #[test]
    fn others_read_the_program_s_own() {
        let words = Wording { make: false, command: "shards" };
        assert_eq!(words.text("run `ebert shards --out DIR`"), "run `ebert shards --out DIR`");
    }

    #[test]
    fn targets_name_commands_and_options_that_exist() {
        let ebert = crate::ebert();
        for target in TARGETS {
            let command = ebert.find_subcommand(target.command).unwrap();
            for (option, _) in target.options {
                assert!(command.get_opts().any(|o| o.get_long() == Some(&option[2..])), "{} {option}", target.command);
            }
        }
    }
}
