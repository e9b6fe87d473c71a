//! How a failure is told: one message with a hint, whether it came as an error or as a panic of tch.
use std::{
    io::{self, Write},
    panic,
    sync::Mutex,
};

use trainer::model::ATTENTION_VARIABLE;

/// The first panic of any thread; what follows from it says less.
static FIRST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the first panic from now on, instead of printing it: tch reports what libtorch refuses as a panic, and it is told as an error,
/// with the place where it happened.
pub fn collect_panics() {
    panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("an unknown failure");
        let place = panic.location().map(|at| format!(" ({at})")).unwrap_or_default();
        if let Ok(mut first) = FIRST_PANIC.lock() {
            first.get_or_insert(format!("{}{place}", explain(text)));
        }
    }));
}

/// The first panic, as an error.
pub fn first_panic() -> anyhow::Error {
    let text = FIRST_PANIC.lock().ok().and_then(|mut first| first.take());
    anyhow::anyhow!("{}", text.unwrap_or_else(|| "an unknown failure".to_owned()))
}

/// What a panic of tch says, without libtorch's own call stack.
fn explain(text: &str) -> String {
    let first = text.split("Exception raised from").next().unwrap_or(text).trim_end();
    let first: String = first.chars().take(600).collect();
    if first.contains("out of memory") {
        return format!("{first}\nhint: fewer optimizer.sequences or neighbor.pairs, or a smaller model");
    }
    if ["illegal memory access", "misaligned address", "launch failure"].iter().any(|what| first.contains(what)) {
        return format!(
            "{first}\nhint: {ATTENTION_VARIABLE}=libtorch does without attention of our own; if that helps, it is a bug"
        );
    }
    first
}

/// Prints an error with its causes, each of which ends a line of the message.
pub fn tell(error: &anyhow::Error) {
    let mut text = error.to_string();
    let mut causes = String::new();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some causes repeat their own.
        if !text.contains(&cause) && !causes.contains(&cause) {
            causes += &format!(": {cause}");
        }
    }
    match text.find("\nhint:") {
        Some(hint) => text.insert_str(hint, &causes),
        None => text.push_str(&causes),
    }
    let _ = writeln!(io::stderr(), "error: {text}");
}
