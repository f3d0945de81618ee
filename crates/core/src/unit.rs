//! Quantities as people write them in manifests: `15s`, `1MiB`, `50/s`, `99.9 %`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a quantity was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{given}` is not a {kind}; write it like {example}")]
pub struct BadUnit {
    /// The text that was given, cut at 80 characters.
    pub given: String,
    /// `duration`, `size`, `rate` or `percentage`.
    pub kind: &'static str,
    /// An example that is right.
    pub example: &'static str,
}

fn bad(given: &str, kind: &'static str, example: &'static str) -> BadUnit {
    BadUnit {
        given: given.chars().take(80).collect(),
        kind,
        example,
    }
}

/// Splits `15s` into 15 and `s`; spaces between them are allowed.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then_some((number, text[end..].trim()))
}

/// `500ms`, `15s`, `10m`, `24h`, `7d`. At most 10 years.
///
/// # Errors
/// [`BadUnit`] for anything else; a bare number has no unit and is refused, except `0`.
pub fn parse_duration(text: &str) -> Result<Duration, BadUnit> {
    let wrong = || bad(text, "duration", "500ms, 15s, 10m, 24h or 7d");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        "d" => number * 86_400.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(wrong()),
    };
    if seconds > 315_360_000.0 {
        Err(wrong())
    } else {
        Ok(Duration::from_millis((seconds * 1e3).round() as u64))
    }
}

/// A duration as `parse_duration` reads it: the largest unit that divides it.
pub fn show_duration(span: Duration) -> String {
    let ms = span.as_millis();
    match ms {
        0 => "0s".into(),
        _ if ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// A size as `parse_size` reads it: the largest unit of 1,024 that divides it.
pub fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units
        .into_iter()
        .find(|(scale, _)| bytes > 0 && bytes.is_multiple_of(*scale));
    unit.map_or_else(
        || format!("{bytes}B"),
        |(scale, unit)| format!("{}{unit}", bytes / scale),
    )
}

/// `512B`, `64KiB`, `1MiB`, `2GiB`; also `KB`, `MB`, `GB` in thousands. Bytes.
///
/// # Errors
/// [`BadUnit`] for anything else, or more than 1 TiB.
pub fn parse_size(text: &str) -> Result<u64, BadUnit> {
    let wrong = || bad(text, "size", "512B, 64KiB, 10MiB or 1GiB");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let scale = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "" if number == 0.0 => 0.0,
        _ => return Err(wrong()),
    };
    let bytes = number * scale;
    if bytes > 1_099_511_627_776.0 {
        Err(wrong())
    } else {
        Ok(bytes.round() as u64)
    }
}

/// Events per second.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// Per second.
    pub per_second: f64,
}

/// `50/s`, `300/m`, `1000/h`.
///
/// # Errors
/// [`BadUnit`] for anything else, or a rate of zero.
pub fn parse_rate(text: &str) -> Result<Rate, BadUnit> {
    let wrong = || bad(text, "rate", "50/s, 300/m or 1000/h");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit.strip_prefix('/').map(str::trim) {
        Some("s") => 1.0,
        Some("m" | "min") => 60.0,
        Some("h") => 3_600.0,
        _ => return Err(wrong()),
    };
    if number > 0.0 {
        Ok(Rate {
            per_second: number / seconds,
        })
    } else {
        Err(wrong())
    }
}

/// In the smallest unit in which it is a whole number, otherwise per hour to three places.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |seconds: f64| (self.per_second * seconds * 1e3).round() / 1e3;
        let whole = [("s", 1.0), ("m", 60.0)]
            .into_iter()
            .find(|(_, seconds)| per(*seconds) >= 1.0 && per(*seconds).fract() == 0.0);
        let (unit, seconds) = whole.unwrap_or(("h", 3_600.0));
        write!(f, "{}/{unit}", per(seconds))
    }
}

/// `50 %` or `99.9%`, as a share from 0 to 1.
///
/// # Errors
/// [`BadUnit`] for anything else, or outside 0 to 100.
pub fn parse_percent(text: &str) -> Result<f64, BadUnit> {
    let wrong = || bad(text, "percentage", "50 %");
    match split(text).ok_or_else(wrong)? {
        (number, "%") if (0.0..=100.0).contains(&number) => Ok(number / 100.0),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, ms) in [
            ("500ms", 500),
            ("15s", 15_000),
            ("1.5s", 1_500),
            ("10m", 600_000),
            ("24h", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "15", "s", "1x", "-1s", "99999999d", "NaNs", "infs"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["500ms", "15s", "10m", "7d", "0s"] {
            assert_eq!(show_duration(parse_duration(text).expect("valid")), text);
        }
    }

    #[test]
    fn sizes_rates_and_percentages_read() {
        assert_eq!(parse_size("1MiB"), Ok(1_048_576));
        for text in ["0B", "1000B", "1KiB", "1025B", "10MiB", "3GiB"] {
            assert_eq!(show_size(parse_size(text).expect("valid")), text);
        }
        assert_eq!(parse_size("10 KB"), Ok(10_000));
        assert!(parse_size("1M").is_err() && parse_size("2000GiB").is_err());
        assert_eq!(parse_rate("300/m"), Ok(Rate { per_second: 5.0 }));
        for text in ["50/s", "1/m", "90/m", "100/m", "1/h", "1000/h", "0.5/h"] {
            assert_eq!(parse_rate(text).expect("valid").to_string(), text);
        }
        assert!(parse_rate("0/s").is_err() && parse_rate("5").is_err());
        assert_eq!(parse_percent("50 %"), Ok(0.5));
        assert!(parse_percent("101%").is_err() && parse_percent("50").is_err());
    }
}
