//! How a failure is reported: one message with a hint, whether it came as an error or as a panic of
//! tch.
use std::{
    io::{self, Write},
    panic,
    sync::Mutex,
};

/// The first panic of any thread; what follows from it says less.
static FIRST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the first panic from now on, instead of printing it. tch reports what libtorch refuses as
/// a panic, which is printed as an error, with the place where it happened.
pub(crate) fn collect_panics(command: &'static str) {
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("an unknown failure");
        // Where tch stands says nothing; where we do, all.
        let own = panic.location().filter(|at| at.file().starts_with("trainer"));
        let place = own.map(|at| format!(" ({at})")).unwrap_or_default();
        if let Ok(mut first) = FIRST_PANIC.lock() {
            let printed = explain(text, command);
            let (what, hint) = printed.split_at(printed.find("\nhint:").unwrap_or(printed.len()));
            first.get_or_insert(format!("{what}{place}{hint}"));
        }
    }));
}

/// The first panic, as an error.
pub(crate) fn first_panic() -> anyhow::Error {
    let text = FIRST_PANIC.lock().ok().and_then(|mut first| first.take());
    anyhow::anyhow!("{}", text.unwrap_or_else(|| "an unknown failure".to_owned()))
}

/// What a panic of tch says, without libtorch's own call stack and the words around it.
fn explain(text: &str, command: &str) -> String {
    let text = text.split_once("value: Torch(\"").map_or(text, |(_, said)| said);
    let ends = ["Exception raised from", "frame #0:", "\\nframe #0", "\\nException raised"];
    let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    let first: String = text[..end].trim_end().trim_end_matches("\\n").chars().take(600).collect();
    let memory = ["out of memory", "can't allocate memory", "not enough memory", "Storage size calculation overflowed"];
    if memory.iter().any(|what| first.contains(what)) {
        let hint = match command {
            "pretrain" => {
                "add `--set optimizer.micro_batch_tokens=4096`, or use fewer neighbor.pairs or a smaller model"
            }
            "finetune" => "use fewer `--sequences`, or a smaller model",
            "bench" => "use fewer tokens or sequences, or a smaller model",
            _ => "use a smaller model, or `--device cpu`",
        };
        return format!("{first}\nhint: {hint}");
    }
    if ["illegal memory access", "misaligned address", "launch failure"].iter().any(|what| first.contains(what)) {
        return format!("{first}\nhint: this is a bug; try `compute = \"float32\"`, which uses plain layers");
    }
    first
}

/// Prints an error with its causes.
pub(crate) fn tell(error: &anyhow::Error) {
    let _ = write!(io::stderr(), "{}", crate::words(&schemas::explain(error.as_ref())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libtorch_says_is_told_without_its_call_stack() {
        let text = "called `Result::unwrap()` on an `Err` value: Torch(\"[enforce fail at alloc_cpu.cpp:127] err == 0. \
                    DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.\\nframe #0: c10::Throw\")";
        let printed = explain(text, "pretrain");
        let wanted = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: \
                      you tried to allocate 9 bytes.\nhint: add `--set optimizer.micro_batch_tokens=4096`";
        assert!(printed.starts_with(wanted), "{printed}");
        assert_eq!(explain("CUDA error: x\nException raised from here", "probe"), "CUDA error: x");
        assert_eq!(explain("lengths add up to the row", "probe"), "lengths add up to the row");
    }
}
