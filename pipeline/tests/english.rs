//! Texts of the repository are in plain American English. Strings, comments and guides have none of the forms in
//! [`FORMS`]. Code, snapshots of output and the sample's sentences do not count.
mod support;

use std::{fs, path::Path, sync::LazyLock};

use regex::{Captures, Regex};
use support::workspace;

/// What to avoid, and what to write instead. A space stands for any white space.
const FORMS: [(&str, &str); 13] = [
    (
        "(?:tokens?|bytes|MB|steps|sequences|documents|segments|pairs|objects?|lines?|rows?|cells?|nats|points|\
         seconds|hours|minutes|times|once|one|core|numbers?|columns?|entry|entries|process|task|workers?|draws?) an? \
         (?:second|minute|hour|step|token|line|core|row|process|rank|file|word|pair|product|document|segment|epoch|\
         model|batch|thread|cell|record|seed|GPU|title|bucket|class|label|task|learning rate|machine|sequence|day)",
        "per, as in `tokens/s` or `one object per line`",
    ),
    ("besides?", "compared with, next to, in addition to"),
    ("(?:there )?(?:is|are|was|were) no \\w+", "is not a"),
    ("(?:go|goes|went|going|gone) on", "resume, continue"),
    ("mend(?:s|ed|ing)?", "fix"),
    ("everything made|what is whole|(?:made|makes?|done) again|made anew", "output, complete, rebuild"),
    ("step size", "learning rate"),
    ("by (?:itself|themselves)", "alone"),
    ("(?:is|are) (?:said|told)|how many they are|hears|told|tells", "report, print, list"),
    ("says (?:what|which|how|why|whether|so|it|that|where|no)", "report, print, list"),
    ("(?:is|are) wanted", "expected"),
    (
        "\\w*(?:neighbour|colour|favour|behaviour|honour|centre|licence|catalogue|judgement|grey)\\w*|analysed?|\
         (?:model|label|travel|cancel)led|learnt|burnt",
        "the American spelling",
    ),
    (
        "\\w*(?:normal|optim|recogn|token|initial|summar|standard|minim|maxim|random|serial|organ|parallel|util|\
         general|regular|vector|categor|penal|material)is(?:e|ed|es|er|ers|ing|able|ation|ations)",
        "the American spelling, with z",
    ),
];

/// Hits that are right: names in code, `there is no`, `is no longer`.
const RIGHT: &str = r"(?i)_|^there\s|\bno\s+(?:longer|more|less|fewer|different|better|worse|faster|slower|need|one)$";

/// Files and folders of the workspace that are read.
const TEXTS: [&str; 13] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "data/sample/README.md",
    "data/sample-generator",
    "docs",
    "pipeline",
    "schemas",
    "trainer",
];

/// Those among them that are not read, and why.
const LEFT_OUT: [(&str, &str); 4] = [
    ("data/sample-generator/catalog", "customers and brands write as they like"),
    ("data/sample-generator/templates", "likewise"),
    ("pipeline/tests/english.rs", "it has the forms"),
    ("trainer/program/tests/support/tasks.rs", "what invented reviewers write"),
];

/// The prose of a file, each piece on the line where it was. Code is `|`. `None` for other files.
fn prose(path: &Path) -> Option<String> {
    let is_makefile = path.file_name().is_some_and(|name| name == "Makefile");
    let pieces = match path.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => r##"(?s)//[^\n]*|r"[^"]*"|r#".*?"#|"(?:[^"\\]|\\.)*"|'(?:\\.[^']*|[^'\\\n])'"##,
        Some("toml") => r##"#[^\n]*|"(?:[^"\\\n]|\\.)*""##,
        Some("md") => "(?s).+",
        None if is_makefile => "#[^\n]*",
        _ => return None,
    };
    let text = fs::read_to_string(path).unwrap();
    let (mut found, mut end) = (String::new(), 0);
    for piece in Regex::new(pieces).unwrap().find_iter(&text) {
        found += &replaced(&CODE, &text[end..piece.start()], |_| "|".to_owned());
        if piece.as_str().starts_with(['/', '#']) {
            found += piece.as_str().trim_start_matches(['/', '#', '!']);
        } else {
            // Escapes become spaces, and placeholders empty.
            let string = replaced(&ESCAPE, piece.as_str(), |_| " ".to_owned());
            found += &replaced(&PLACEHOLDER, &string, |_| "{}".to_owned()).replace("\\\n", "\n");
            found.push('|');
        }
        end = piece.end();
    }
    // Code in comments and guides: blocks, and parts of a line.
    let found = replaced(&FENCE, &found, |block| "\n".repeat(block[0].matches('\n').count()));
    Some(replaced(&INLINE, &found, |_| "`".to_owned()))
}

static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\S+").unwrap());
static ESCAPE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\(?:u\{[^}]*\}|[^\n])").unwrap());
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{[^{}\s]*\}").unwrap());
static FENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new("(?s)```.*?```").unwrap());
static INLINE: LazyLock<Regex> = LazyLock::new(|| Regex::new("`[^`\n]*`").unwrap());

fn replaced(pattern: &Regex, text: &str, with: impl Fn(&Captures<'_>) -> String) -> String {
    pattern.replace_all(text, with).into_owned()
}

/// Collects the hits of a file or folder: its path, the line, what was found, and what to write instead.
fn check(root: &Path, name: &str, forms: &[(Regex, &str)], hits: &mut Vec<String>) {
    if LEFT_OUT.iter().any(|(left_out, _)| *left_out == name) {
        return;
    }
    let path = root.join(name);
    if path.is_dir() {
        for entry in fs::read_dir(&path).unwrap() {
            let below = entry.unwrap().file_name().into_string().unwrap();
            if below != "target" && !below.starts_with('.') {
                check(root, &format!("{name}/{below}"), forms, hits);
            }
        }
        return;
    }
    let Some(prose) = prose(&path) else { return };
    let right = Regex::new(RIGHT).unwrap();
    for (form, instead) in forms {
        for hit in form.find_iter(&prose).filter(|hit| !right.is_match(hit.as_str())) {
            let line = prose[..hit.start()].matches('\n').count() + 1;
            hits.push(format!("{name}:{line}: found {:?}, write: {instead}", hit.as_str()));
        }
    }
}

#[test]
fn texts_are_in_plain_american_english() {
    let forms = FORMS.map(|(form, instead)| {
        let pattern = format!(r"(?i)\b(?:{form})\b").replace(' ', r"\s+");
        (Regex::new(&pattern).unwrap(), instead)
    });
    let mut hits = Vec::new();
    // A file that moved is not passed over.
    for name in TEXTS.into_iter().chain(LEFT_OUT.map(|(left_out, _)| left_out)) {
        assert!(workspace().join(name).exists(), "{name}");
    }
    for text in TEXTS {
        check(&workspace(), text, &forms, &mut hits);
    }
    hits.sort();
    assert!(hits.is_empty(), "{} forms to replace:\n{}", hits.len(), hits.join("\n"));
}
