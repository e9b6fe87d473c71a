//! What the tests of whole commands share: running the program, making raw files, comparing folders.
#![allow(dead_code, reason = "each test program uses its own part")]
pub(crate) mod library;
pub(crate) mod moto;
pub(crate) mod raw;
pub(crate) mod trained;
pub(crate) mod workers;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use flate2::{Compression, write::GzEncoder};

/// The folder of the workspace; commands run in it, so that the sample is where it is for a user.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// A command of `ebert`.
pub(crate) fn ebert<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebert"));
    command.current_dir(workspace()).args(arguments).env("NO_COLOR", "1").env_remove("EBERT_MAKE");
    command
}

/// The option for the sample's tokenizer, which other corpora must name.
pub(crate) const TOKENIZER: [&str; 2] = ["--tokenizer", "data/sample/tokenizer.json"];

/// The same, unless the options name one.
pub(crate) fn tokenizer_unless_in(options: &[&str]) -> &'static [&'static str] {
    if options.contains(&TOKENIZER[0]) { &[] } else { &TOKENIZER }
}

/// One step, with those options of a whole run that it has. Each option has a value.
pub(crate) fn step<S: AsRef<str>>(name: &str, options: &[S]) -> Command {
    let line = ebert_commands::ebert();
    let known = line.find_subcommand(name).expect("a step");
    let mut command = ebert([name]);
    for option in options.chunks_exact(2) {
        let [long, value] = [0, 1].map(|i| option[i].as_ref());
        if known.get_opts().any(|known| known.get_long() == long.strip_prefix("--")) {
            command.args([long, value]);
        }
    }
    command
}

/// Runs a command that is to succeed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

/// The output of a command, for a snapshot: exit code, standard output and error. `hide` are paths that differ
/// from run to run.
pub(crate) fn said(output: &Output, hide: &[(&Path, &str)]) -> String {
    let mut text = format!(
        "exit {}\n--- out\n{}--- err\n{}",
        output.status.code().map_or("by signal".to_owned(), |c| c.to_string()),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for (path, name) in hide {
        text = text.replace(&path.display().to_string(), name);
    }
    text
}

/// The optional folder of real data next to the workspace, or the reason for skipping printed.
pub(crate) fn real_data() -> Option<PathBuf> {
    shared("data")
}

/// A folder of the optional data next to the workspace, or the reason for skipping printed.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("EBERT_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let folder = folder.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: the optional folder `{}` is not there", folder.display());
    None
}

/// The arguments of a run over all real files.
pub(crate) fn real_arguments(data: &Path) -> Vec<String> {
    let path = |p: &str| data.join(p).display().to_string();
    vec![
        "--corpus".into(),
        path("amazon"),
        "--pool".into(),
        path("phrases/amazon-autophrase.txt.gz"),
        "--tokenizer".into(),
        path("vocab/bert-base-uncased-vocab.txt"),
    ]
}

/// Compresses.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).and_then(|()| gz.finish()).expect("memory is written to")
}

/// All files below a folder with their bytes, except the options of the last command.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, prefix: &str, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), into);
            } else if name != ebert_commands::OPTIONS_FILE {
                into.insert(name, fs::read(entry.path()).expect("the file is there"));
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(folder, "", &mut all);
    all
}

/// Asserts that two folders hold the same bytes under the same names.
pub(crate) fn assert_same(a: &Path, b: &Path, what: &str) {
    let (left, right) = (contents(a), contents(b));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>(), "{what}: files");
    for (name, bytes) in &left {
        assert!(*bytes == right[name], "{what}: `{name}` differs");
    }
}

/// How often a test kills: as often as EBERT_FAULTS says, or a few times.
pub(crate) fn tries(few: u64) -> u64 {
    std::env::var("EBERT_FAULTS").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}
