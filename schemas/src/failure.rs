//! How both programs print an error: what happened, why, and what to do.
use std::{error::Error, iter::successors, path::Path};

/// An error as text: its message, one line per cause, and then the hint, which is the part of the
/// message from `\nhint:` on.
///
/// ```
/// let error = schemas::StoreError::io("read", "pool.txt".as_ref())(std::io::ErrorKind::NotFound.into());
/// assert_eq!(schemas::explain(&error), "error: cannot read `pool.txt`\n  because: entity not found\n");
/// ```
pub fn explain(error: &dyn Error) -> String {
    let message = error.to_string();
    let (what, hint) = message.split_at(message.find("\nhint:").unwrap_or(message.len()));
    let because: String = causes(error).iter().map(|cause| format!("\n  because: {cause}")).collect();
    format!("error: {what}{because}{hint}\n")
}

/// A path as it can be pasted into a shell, for hints: in quotation marks if it needs them.
///
/// ```
/// assert_eq!(schemas::quoted("data/work".as_ref()), "data/work");
/// assert_eq!(schemas::quoted("my shop".as_ref()), "'my shop'");
/// ```
pub fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:=@%".contains(c);
    if !path.is_empty() && path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// An error and its causes in one line, without its hint.
pub fn in_a_line(error: &dyn Error) -> String {
    let message = error.to_string();
    let first = message.lines().next().unwrap_or_default().to_owned();
    std::iter::once(first).chain(causes(error)).collect::<Vec<_>>().join(": ")
}

/// The causes of an error, without those that repeat an earlier message.
fn causes(error: &dyn Error) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    for cause in successors(error.source(), |&cause| cause.source()).map(ToString::to_string) {
        if !messages.iter().any(|text| text.contains(&cause)) {
            messages.push(cause);
        }
    }
    messages.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct Failure {
        message: &'static str,
        source: Option<Box<Failure>>,
    }

    fn failure(lines: &[&'static str]) -> Failure {
        Failure { message: lines[0], source: (lines.len() > 1).then(|| Box::new(failure(&lines[1..]))) }
    }

    #[test]
    fn causes_do_not_repeat_messages() {
        let error = failure(&["step 3 failed\nhint: again", "cannot write `a`: disk full", "disk full", "no space"]);
        let wanted = "error: step 3 failed\n  because: cannot write `a`: disk full\n  because: no space\nhint: again\n";
        assert_eq!(explain(&error), wanted);
        assert_eq!(in_a_line(&error), "step 3 failed: cannot write `a`: disk full: no space");
        assert_eq!(explain(&failure(&["passed on", "passed on"])), "error: passed on\n");
    }

    #[test]
    fn paths_are_quoted_where_a_shell_would_split_them() {
        for (path, wanted) in [
            ("data/work", "data/work"),
            ("/tmp/a b", "'/tmp/a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME;x", "'$HOME;x'"),
            ("größe", "größe"),
        ] {
            assert_eq!(quoted(path.as_ref()), wanted);
        }
    }
}
