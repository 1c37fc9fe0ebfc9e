//! How people write durations and sizes, and which word they may have meant.

use std::time::Duration;

/// Reads a duration as people write it: `12s`, `1.5s`, `250ms`, `100us`, `10m`, `2h`, `1m30s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("\"{text}\" is no duration: write a number with its unit, such as 12s, 1.5s, 250ms or 1m30s");
    let mut rest = text.trim();
    let mut total: u128 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit_nanos: u128 = match unit {
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(bad()),
        };
        total += scaled(number, unit_nanos).ok_or_else(bad)?;
        rest = tail;
    }
    // The world counts microseconds, and a century is longer than any world lasts.
    let nanos = u64::try_from(total).ok().filter(|nanos| *nanos < 3_000_000_000_000_000_000).ok_or_else(bad)?;
    Ok(Duration::from_micros(nanos / 1_000))
}

/// A decimal number times a whole one, exactly.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 15 || fraction.len() > 9 || (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let parts: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let denominator = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole * unit + parts * unit / denominator)
}

/// Writes a duration so that [`parse_duration`] reads the same one.
pub fn format_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let (unit_micros, unit) = match micros {
        0 => return "0s".to_owned(),
        _ if micros.is_multiple_of(3_600_000_000) => (3_600_000_000, "h"),
        _ if micros.is_multiple_of(60_000_000) => (60_000_000, "m"),
        _ if micros >= 1_000_000 => (1_000_000, "s"),
        _ if micros >= 1_000 => (1_000, "ms"),
        _ => (1, "us"),
    };
    let (whole, rest) = (micros / unit_micros, micros % unit_micros);
    if rest == 0 {
        return format!("{whole}{unit}");
    }
    let width = unit_micros.to_string().len() - 1;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

/// Reads a size of memory, in MiB: `512MiB`, `64GiB`, `1.5GiB`, `2TiB`.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    let bad = || format!("\"{text}\" is no size of memory: write a number with its unit, such as 512MiB or 64GiB");
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
    let (number, unit) = trimmed.split_at(digits);
    let unit_mib = match unit.trim() {
        "MiB" => 1,
        "GiB" => 1_024,
        "TiB" => 1_048_576,
        _ => return Err(bad()),
    };
    scaled(number, unit_mib).and_then(|mib| u64::try_from(mib).ok()).ok_or_else(bad)
}

/// The word among `known` that was most likely meant by `word`, if any is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a word of this length, and comparing it would take its time.
    if word.len() > 200 {
        return None;
    }
    let (lowered, limit) = (word.to_lowercase(), word.chars().count() / 3 + 1);
    let near = known.into_iter().map(|candidate| (distance(&lowered, &candidate.to_lowercase()), candidate));
    near.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

/// How many letters must be changed, added or left out to make one word of the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (column, to) in right.iter().enumerate() {
            let above = row.get(column + 1).copied().unwrap_or(usize::MAX / 2);
            let best = (diagonal + usize::from(from != *to)).min(above + 1).min(before + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(column) {
                *cell = before;
            }
            before = best;
        }
        if let Some(cell) = row.last_mut() {
            *cell = before;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// A length of time at a glance: its two greatest units.
pub fn span(milliseconds: i64) -> String {
    let seconds = milliseconds / 1_000;
    let two = |great: i64, great_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{great}{great_unit}"),
        _ => format!("{great}{great_unit} {small}{small_unit}"),
    };
    match seconds {
        _ if milliseconds == 0 => "0s".to_owned(),
        _ if milliseconds < 0 => format!("-{}", span(milliseconds.saturating_neg())),
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{:.2}s", milliseconds as f64 / 1_000.0),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Whether a letter is nothing to be seen, but moves others: the cursor of a terminal, or the order in which text is read.
pub fn is_hidden(letter: char) -> bool {
    let reorders = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || reorders
}

/// A list as people read it: `a, b and c`.
pub fn listed<T: AsRef<str>>(words: &[T], last: &str) -> String {
    match words {
        [] => "none".to_owned(),
        [only] => only.as_ref().to_owned(),
        [first @ .., end] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} {last} {}", first.join(", "), end.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        let cases = [
            ("12s", 12_000_000),
            ("1.5s", 1_500_000),
            ("250ms", 250_000),
            ("100us", 100),
            ("10m", 600_000_000),
            ("2h", 7_200_000_000),
            ("1m30s", 90_000_000),
            (".5s", 500_000),
            ("0s", 0),
        ];
        for (text, micros) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "12", "s", "12 parsecs", "1.2.3s", "-4s", "99999999999999h", "1s2"] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains("is no duration"), "{error}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for micros in [0, 1, 999, 1_000, 1_500, 999_999, 1_000_000, 1_500_000, 61_000_000, 600_000_000, 3_600_000_000] {
            let duration = Duration::from_micros(micros);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        assert_eq!(format_duration(Duration::from_millis(1_500)), "1.5s");
        assert_eq!(format_duration(Duration::from_micros(1_050)), "1.05ms");
    }

    #[test]
    fn memory_is_read_in_mib() {
        assert_eq!(parse_memory("64GiB"), Ok(65_536));
        assert_eq!(parse_memory("1.5GiB"), Ok(1_536));
        assert!(parse_memory("64GB").is_err());
    }

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(nearest("pwoer-off", ["power-on", "power-off", "heal"]), Some("power-off"));
        assert_eq!(nearest("Host-2", ["host-1", "host-2"]), Some("host-2"));
        assert_eq!(nearest("zebra", ["power-on", "heal"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn lengths_of_time_are_read_at_a_glance() {
        let shown = [0, 350, 3_410, 60_000, 252_000, 11_220_000, 1_051_200_000, -5_000].map(span);
        assert_eq!(shown, ["0s", "350ms", "3.41s", "1m", "4m 12s", "3h 7m", "12d 4h", "-5.00s"]);
    }
}
