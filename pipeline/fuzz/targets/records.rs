//! Record parsers of all generations: lines, strict JSON, and the literals of Python and of careless JSON.
//!
//! No input panics. A JSON object that Python would read is a record, and the same record when it is written as
//! a Python dict.
#![no_main]
use ebert_dumps::{BYTE_ORDER_MARK, LineReader, Record, parse};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../../dumps/src/python/repr.rs"]
mod repr;
use repr::repr;

/// All values of a record.
fn describe(record: &Record<'_>) -> String {
    let pieces: Vec<&str> = record.review_pieces().collect();
    format!("{:?} {:?} {:?} {pieces:?} {record:?}", record.record_type(), record.product_id(), record.brand())
}

/// Whether no object of a JSON text has a key twice and its keys stand in order: then reading and writing it changes
/// nothing.
fn is_canonical(line: &[u8]) -> bool {
    let value: Value = serde_json::from_slice(line).expect("read before");
    let strip = |bytes: &[u8]| bytes.iter().filter(|b| !b.is_ascii_whitespace()).copied().collect::<Vec<u8>>();
    strip(line) == strip(value.to_string().as_bytes())
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, data)) = data.split_first() else { return };
    let mut reader = LineReader::new(Box::new(std::io::Cursor::new(data.to_vec())));
    let mut lines = Vec::new();
    while let Some(batch) = reader.next_batch(usize::from(size) + 1) {
        lines.extend(batch.iter().map(|line| (line.number, line.bytes.to_vec())));
    }
    let unmarked = |line: &'_ [u8]| line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii().to_vec();
    let wanted = data.split(|b| *b == b'\n').map(unmarked).enumerate();
    let wanted: Vec<_> = wanted.filter(|l| !l.1.is_empty()).map(|(i, l)| (i as u64 + 1, l)).collect();
    assert_eq!(lines, wanted);

    for (_, line) in &lines {
        let found = parse(line, describe);
        let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(line) else { continue };
        let json = found.expect("a JSON object is a record");
        // Both keep the last of equal keys, so the comparison is with the JSON of the value.
        let once = parse(value.to_string().as_bytes(), describe).expect("JSON as it was read");
        if is_canonical(line) {
            assert_eq!(json, once);
        }
        let mut text = String::new();
        repr(&value, &mut text);
        assert_eq!(parse(text.as_bytes(), describe).expect(&text), once, "{text}");
    }
});
