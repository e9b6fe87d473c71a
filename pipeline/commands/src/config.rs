//! Options in the file of `--config`.
//!
//! A key of the file is the long name of an option: `out = "real"`. The tables `products` and `reviews` describe
//! sources; programs read them. Paths are relative to the file.
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use clap::{Arg, Command, error::ErrorKind, parser::ValueSource};
use toml::Value;

/// Tables of the file that are not options.
pub(crate) const SOURCES: [&str; 2] = ["products", "reviews"];

/// The arguments, with the options of the file behind the command. Those that are given keep their values.
///
/// # Errors
/// If the file cannot be read, or has an unknown key.
pub(crate) fn expanded(program: &Command, arguments: Vec<OsString>) -> Result<Vec<OsString>, clap::Error> {
    // What is wrong without the file is reported when all is parsed.
    let Ok(matches) = program.clone().try_get_matches_from(&arguments) else { return Ok(arguments) };
    let Some((name, given)) = matches.subcommand() else { return Ok(arguments) };
    let Some(command) = program.find_subcommand(name) else { return Ok(arguments) };
    let is_there = command.get_arguments().any(|argument| argument.get_id() == "config");
    let file = if is_there { given.get_one::<PathBuf>("config") } else { None };
    let Some(file) = file else { return Ok(arguments) };
    let refuse = |what: String| program.clone().error(ErrorKind::InvalidValue, what);
    let text = fs::read_to_string(file).map_err(|error| {
        refuse(format!(
            "cannot read the configuration `{}`: {error}\nhint: docs/own-data.md has an example",
            file.display()
        ))
    })?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        refuse(format!("`{}` is not a configuration: {}", file.display(), error.to_string().trim_end()))
    })?;
    let mut options = Vec::new();
    for (key, value) in table.iter().filter(|(key, _)| !SOURCES.contains(&key.as_str())) {
        let long = key.replace('_', "-");
        // Of options without a name on the command line, only the paths of `check` can be given here.
        let is_it = |option: &&Arg| {
            option.get_long().unwrap_or(option.get_id().as_str()) == long
                && (!option.is_positional() || long == "corpus")
        };
        let of = |command: &Command| command.get_arguments().find(is_it).cloned();
        let Some(option) = of(command) else {
            // Another step may have it.
            if program.get_subcommands().any(|command| of(command).is_some()) {
                continue;
            }
            return Err(refuse(format!(
                "`{}` has the unknown key `{key}`\nhint: keys are products, reviews, or options of `ebert shards --help`",
                file.display()
            )));
        };
        if given.value_source(option.get_id().as_str()) != Some(ValueSource::CommandLine) {
            let values = values(&option, value, file.parent().unwrap_or(Path::new("")));
            let Some(values) = values else {
                let expected = "expected a text, a number, true or false, or a list of these";
                return Err(refuse(format!("`{}`: found `{key} = {value}`, {expected}", file.display())));
            };
            options.extend(values);
        }
    }
    // The command is the first argument that is its name.
    let at = arguments.iter().position(|argument| argument == OsStr::new(name)).map_or(arguments.len(), |at| at + 1);
    let (before, after) = arguments.split_at(at);
    Ok([before, &options, after].concat())
}

/// An option with a value of the file, as arguments. `None` if it cannot be one.
fn values(option: &Arg, value: &Value, folder: &Path) -> Option<Vec<OsString>> {
    let long = option.get_long().unwrap_or_default();
    let is_path = option.get_value_parser().type_id() == clap::value_parser!(PathBuf).type_id();
    let is_flag = !option.get_action().takes_values();
    let text = match value {
        Value::Boolean(on) if is_flag => return Some(on.then(|| format!("--{long}").into()).into_iter().collect()),
        Value::Array(items) => {
            let all: Option<Vec<_>> = items.iter().map(|item| values(option, item, folder)).collect();
            return Some(all?.concat());
        }
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        // Of `nouns = false`.
        Value::Boolean(on) => if *on { "on" } else { "off" }.to_owned(),
        // `[associations]` with `path`, as the sources have it.
        Value::Table(table) if is_path && table.len() == 1 => return values(option, table.get("path")?, folder),
        Value::Datetime(_) | Value::Table(_) => return None,
    };
    let mut argument = if long.is_empty() { OsString::new() } else { OsString::from(format!("--{long}=")) };
    // Without the `.` of `out = "."`.
    let joined: PathBuf = folder.join(&text).components().collect();
    // The id of a model on a hub looks like a path, and so does the address of a source.
    let is_elsewhere = crate::is_address(Path::new(&text)) || long == "init" && !joined.exists();
    if is_path && !is_elsewhere {
        argument.push(joined)
    } else {
        argument.push(text)
    }
    Some(vec![argument])
}

#[cfg(test)]
mod tests {
    use crate::{Command, DataCommand, ShardsArgs, parse_from};

    fn shards(file: &str, arguments: &[&str]) -> Result<Box<ShardsArgs>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.toml");
        std::fs::write(&path, file).unwrap();
        let file = ["ebert", "shards", "--config", path.to_str().unwrap()];
        match parse_from(file.iter().chain(arguments)) {
            Ok(Command::Data(DataCommand::Shards(mut args))) => {
                // Without the name of the temporary folder.
                let short = |path: &mut std::path::PathBuf| {
                    if let Ok(rest) = path.strip_prefix(folder.path()) {
                        *path = rest.to_owned();
                    }
                };
                short(&mut args.work.out);
                args.input.corpus.iter_mut().for_each(short);
                args.tokenizer.init.iter_mut().for_each(short);
                Ok(args)
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn options_of_the_file_count_unless_others_are_given() {
        let file = "out = \"real\"\ncorpus = [\"a\", \"b/*.csv\"]\ninit = \"owner/model\"\nmin_score = 0.75\nmax-tokens = 100\n\
            force = true\nno-interactions = false\nnouns = false\n[products]\npath = \"x\"\n\
            [associations]\npath = \"orders.csv\"\n";
        let args = shards(file, &["--max-tokens", "50", "-j", "2"]).unwrap();
        assert_eq!(args.work.out.to_str(), Some("real"));
        assert_eq!(args.input.corpus.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), ["a", "b/*.csv"]);
        assert_eq!(args.tokenizer.init.as_ref().unwrap().to_str(), Some("owner/model"));
        assert!(args.graph.associations.as_ref().unwrap().ends_with("orders.csv"));
        assert_eq!((args.pool.min_score, args.encode.max_tokens), (0.75, 50));
        assert!(args.input.force && !args.corpus.no_interactions && args.encode.nouns == crate::Nouns::Off);
        let args = shards(file, &["--corpus", "c", "--out", "other"]).unwrap();
        assert_eq!((args.input.corpus.len(), args.work.out.to_str()), (1, Some("other")));
    }

    #[test]
    fn a_check_reads_the_sources_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ebert.toml");
        std::fs::write(&path, "corpus = [\"a\", \"b\"]\nseed = 3\n").unwrap();
        let Ok(Command::Data(DataCommand::Check(args))) =
            parse_from(["ebert", "check", "--config", path.to_str().unwrap(), "--records", "1"])
        else {
            panic!()
        };
        assert_eq!(args.corpus, [folder.path().join("a"), folder.path().join("b")]);
        assert_eq!(args.records, 1);
    }

    #[test]
    fn mistakes_are_named() {
        for (file, wanted) in [
            ("tokenzier = \"x\"", "unknown key `tokenzier`"),
            ("out = [[1]", "is not a configuration: TOML parse error at line 1"),
            ("max-tokens = 9999", "invalid value '9999' for '--max-tokens <N>'"),
            ("min-score = 5", "invalid value '5' for '--min-score <SCORE>': expected a score from 0 to 1"),
            ("out = {}", "found `out = {}`, expected a text"),
        ] {
            let error = shards(file, &[]).unwrap_err();
            assert!(error.contains(wanted), "{file}: {error}");
        }
        let error = parse_from(["ebert", "shards", "--config", "none.toml"]).unwrap_err().to_string();
        assert!(error.contains("cannot read the configuration `none.toml`: No such file"), "{error}");
    }
}
