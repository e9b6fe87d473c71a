//! Numbers in text.
use std::collections::BTreeSet;

/// A ratio in percent, rounded to 6 decimals: `100.0 * 0.034` is 3.4000000000000004.
pub fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

/// A number with thousands separators: `602,257`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 file`, `1,204 files`.
pub fn count_of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// A rounded number: `4.9 M`.
pub fn short(number: u64) -> String {
    match number {
        0..10_000 => thousands(number),
        // 999,950 rounds to 1.0 M, not to 1000.0 K.
        10_000..999_950 => format!("{:.1} K", number as f64 / 1e3),
        999_950..999_950_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.1} G", number as f64 / 1e9),
    }
}

/// The first numbers of a set: `1, 4, 7, …`.
pub fn listed(numbers: &BTreeSet<u32>) -> String {
    const MOST: usize = 20;
    let some: Vec<String> = numbers.iter().take(MOST).map(u32::to_string).collect();
    some.join(", ") + if numbers.len() > MOST { ", …" } else { "" }
}
