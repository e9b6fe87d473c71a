//! Commands that the guides print and the scripts run exist, with the options that they are given.
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use support::workspace;

/// Files with an extension below a folder.
fn files(folder: &Path, extensions: &[&str], into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, extensions, into);
        } else if path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted)) {
            into.push(path);
        }
    }
}

/// The code blocks of a page that are for a shell.
fn shell_blocks(page: &str) -> String {
    let blocks = Regex::new(r"(?ms)^```(?:bash)?\n(.*?)^```$").unwrap();
    // Whole blocks are consumed in order, so that the end of one is not taken for the start of another.
    let all = Regex::new(r"(?ms)^```(\w*)\n.*?^```$").unwrap();
    all.find_iter(page).filter_map(|block| Some(blocks.captures(block.as_str())?[1].to_owned())).collect()
}

/// The words of a command up to its end. Variables have the value 1, but `$step` is a step. Lists have no value.
fn words(line: &str) -> Vec<String> {
    let word = Regex::new(r#""[^"]*"|'[^']*'|\|\||&&|[|;&>#)]|2>|[^\s;|&>)"']+"#).unwrap();
    let variable = Regex::new(r"\$\{[^}]*\}|\$\w+").unwrap();
    word.find_iter(line)
        .map(|word| word.as_str())
        .take_while(|word| !["|", "||", "&&", ";", "&", ">", "2>", "#", ")"].contains(word))
        .filter(|word| !word.contains('@'))
        .map(|word| word.trim_matches(['"', '\'']).replace("$step", "read"))
        .map(|word| variable.replace_all(&word, "1").into_owned())
        .collect()
}

#[test]
fn commands_of_guides_and_scripts_are_understood() {
    let root = workspace();
    let mut paths = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    files(&root.join("docs"), &["md", "sh"], &mut paths);
    // The help of all commands, which is generated.
    paths.retain(|path| !path.ends_with("docs/commands.md"));
    files(&root.join("deploy"), &["sh", "sbatch"], &mut paths);
    let start = Regex::new(r"(?m)(?:^|[\s;&|(])(ebert [a-z].*)$").unwrap();
    let comment = Regex::new(r"(?m)^\s*#.*$").unwrap();
    let mut commands = 0;
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let is_page = path.extension().is_some_and(|e| e == "md");
        let text = if is_page { shell_blocks(&text) } else { comment.replace_all(&text, "").into() };
        let text = text.replace("\\\n", " ").replace("\"$bin/ebert\"", "ebert");
        for found in start.captures_iter(&text) {
            let words = words(&found[1]);
            let is_known = ebert_commands::ebert().get_subcommands().any(|known| known.get_name() == words[1]);
            // The first line of what a command prints, in an example or a message.
            if !is_known && PRINTED.contains(&words[1].as_str()) {
                continue;
            }
            let parsed = ebert_commands::ebert().try_get_matches_from(&words);
            // Help counts as an error, but does not go to standard error.
            if let Some(error) = parsed.err().filter(|error| error.use_stderr()) {
                panic!("{}: {words:?}\n{error}", path.display());
            }
            commands += 1;
        }
    }
    assert!(commands > 30, "{commands} commands were found");
}

#[test]
fn the_architecture_names_all_tests() {
    let root = workspace();
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let list = page.split("## Tests").nth(1).unwrap();
    for folder in [
        "pipeline/tests",
        "trainer/batches/tests",
        "trainer/python/tests",
        "trainer/kernels/tests",
        "trainer/program/tests",
    ] {
        let names = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        for test in names.filter(|path| path.extension().is_some_and(|e| e == "rs")) {
            let stem = test.file_stem().unwrap().to_str().unwrap();
            let is_named =
                folder == "trainer/python/tests" && list.contains(folder) || list.contains(&format!("`{stem}`"));
            assert!(is_named, "{} is not in the list of tests", test.display());
        }
    }
}

/// Words after `ebert` in what is printed.
const PRINTED: [&str; 2] = ["and", "is"];

#[test]
fn variables_in_the_help_of_make_are_known() {
    let makefile = fs::read_to_string(workspace().join("Makefile")).unwrap();
    let known = makefile.lines().find_map(|line| line.strip_prefix("KNOWN := ")).unwrap();
    let known: Vec<&str> = known.split(' ').collect();
    let variable = Regex::new(r"\b([A-Z_]+)=").unwrap();
    let mut found = 0;
    for help in makefile.lines().filter_map(|line| Some(line.split_once(":")?.1.split_once("## ")?.1)) {
        for name in variable.captures_iter(help) {
            assert!(known.contains(&&name[1]), "`{}` in {help:?} is not in KNOWN", &name[1]);
            found += 1;
        }
    }
    assert!(found > 20, "{found} variables");
}

#[test]
fn links_of_guides_lead_somewhere() {
    let root = workspace();
    let mut paths = vec![root.join("README.md"), root.join("ARCHITECTURE.md"), root.join("CONTRIBUTING.md")];
    files(&root.join("docs"), &["md"], &mut paths);
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let heading = Regex::new(r"(?m)^#+ (.+)$").unwrap();
    let fence = Regex::new(r"(?ms)^```.*?^```$").unwrap();
    for path in paths {
        let text = fence.replace_all(&fs::read_to_string(&path).unwrap(), "").into_owned();
        for target in link.captures_iter(&text).map(|found| found[1].to_owned()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: {target}", path.display());
            if !anchor.is_empty() {
                // As GitHub does: lower case, spaces as hyphens, without punctuation.
                let page = fence.replace_all(&fs::read_to_string(&file).unwrap(), "").into_owned();
                let mut anchors = heading.captures_iter(&page).map(|found| {
                    let lower = found[1].to_lowercase().replace(' ', "-");
                    lower.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect::<String>()
                });
                assert!(anchors.any(|known| known == anchor), "{}: {target}", path.display());
            }
        }
    }
}
