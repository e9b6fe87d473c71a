//! Dates as text.

/// Milliseconds since 1970 of a date such as `2009-09-06`, `2009-09-06 12:30:00`,
/// `2009-09-06 12:30:00 UTC` or `2009-09-06T12:30:00.5+02:00` (RFC 3339, also with a space). Without a zone, it is UTC.
pub(super) fn milliseconds_of_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month_day) = date.split_at_checked(4)?;
    let (month, day) = month_day.strip_prefix('-')?.split_once('-')?;
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day) * 86_400_000;
    if rest.is_empty() {
        return Some(days);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let rest = ["UTC", "GMT"].iter().find_map(|zone| rest.strip_suffix(zone)).unwrap_or(rest);
    let (clock, zone) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let mut parts = clock.trim_end().splitn(3, ':');
    let hours = digits(parts.next()?, 2)?;
    let minutes = digits(parts.next()?, 2)?;
    let (seconds, fraction) = match parts.next() {
        Some(seconds) => seconds.split_once('.').unwrap_or((seconds, "")),
        None => ("00", ""),
    };
    let seconds = digits(seconds, 2)?;
    if hours > 24 || minutes > 59 || seconds > 60 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: i64 = format!("{fraction:0<3.3}").parse().ok()?;
    Some(days + ((hours * 60 + minutes - zone_minutes(zone)?) * 60 + seconds) * 1_000 + thousandths)
}

/// Milliseconds since 1970 of a date in eight digits, such as `20090906`. As seconds, they would be before 1974.
pub(super) fn milliseconds_of_digits(number: f64) -> Option<i64> {
    // The years from 1990 to 2100.
    if !(19_900_101.0..21_000_101.0).contains(&number) || number.fract() != 0.0 {
        return None;
    }
    let digits = number as i64;
    let (year, month, day) = (digits / 10_000, digits / 100 % 100, digits % 100);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date.then(|| days_since_1970(year, month, day) * 86_400_000)
}

/// The minutes that a zone such as `+02:00` is ahead of UTC.
fn zone_minutes(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first() {
        None => return Some(0),
        Some(b'Z' | b'z') => return (zone.len() == 1).then_some(0),
        Some(b'-') => -1,
        Some(_) => 1,
    };
    let (hours, minutes) = zone[1..].split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes, 2)? };
    Some(sign * (digits(hours, 2)? * 60 + minutes))
}

fn digits(text: &str, len: usize) -> Option<i64> {
    (text.len() == len && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days from 1970-01-01, by Howard Hinnant's `days_from_civil`,
/// <https://howardhinnant.github.io/date_algorithms.html>.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
