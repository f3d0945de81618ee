//! Dates as HTTP writes them, and the pause that `Retry-After` asks for (RFC 9110, sections 5.6.7 and 10.2.3).
//!
//! Senders write one form; whoever reads takes the two old ones too. What is no date is no pause, whoever wrote it.

use crate::clock::{Timestamp, civil_from_days, days_from_civil};
use std::time::Duration;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The pause that a `Retry-After` asks for, seen from `now`: whole seconds, or until a date; zero when that is past.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    match number(text) {
        Some(seconds) => Some(Duration::from_secs(seconds.unsigned_abs())),
        None => Some(parse(text, now)?.since(now)),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` or `Sun Nov  6 08:49:37 1994`. A year of two digits
/// that would be more than fifty years after `now` is one of the last century.
pub fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace();
    let (weekday, second) = (words.next()?, words.next()?);
    let ((day, month, year), clock) = match (weekday.ends_with(','), second.split_once('-')) {
        (true, None) => ((second, words.next()?, full_year(words.next()?)?), words.next()?),
        (true, Some((day, rest))) => {
            let (month, year) = rest.split_once('-')?;
            ((day, month, short_year(year, now)?), words.next()?)
        }
        (false, _) => {
            let (day, clock) = (words.next()?, words.next()?);
            ((day, second, full_year(words.next()?)?), clock)
        }
    };
    let zone = weekday.ends_with(',').then_some("GMT");
    if words.next() != zone || words.next().is_some() {
        return None;
    }
    let month = 1 + i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let date = (year, month, number(day).filter(|_| day.len() <= 2)?);
    let days = days_from_civil(date.0, date.1, date.2);
    let exists = civil_from_days(days) == date;
    exists.then_some(Timestamp((days * 86_400 + seconds(clock)?) * 1_000))
}

/// Of the day; a leap second is the one before it again.
fn seconds(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':').map(|part| number(part).filter(|_| part.len() == 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let exists = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    exists.then_some(hour * 3_600 + minute * 60 + second.min(59))
}

fn full_year(text: &str) -> Option<i64> {
    number(text).filter(|_| text.len() == 4)
}

fn short_year(text: &str, now: Timestamp) -> Option<i64> {
    let year = number(text).filter(|_| text.len() == 2)?;
    let this = civil_from_days(now.0.div_euclid(86_400_000)).0;
    let of_this_century = this - this.rem_euclid(100) + year;
    Some(if of_this_century > this + 50 {
        of_this_century - 100
    } else {
        of_this_century
    })
}

/// Digits and nothing else.
fn number(text: &str) -> Option<i64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: Timestamp = Timestamp(784_111_777_000);
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    #[test]
    fn the_three_forms_are_one_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text, NOW), Some(THEN), "{text}");
        }
        assert_eq!(
            parse("Thu, 29 Feb 2024 23:59:60 GMT", NOW)
                .map(|at| at.to_string())
                .as_deref(),
            Some("2024-02-29T23:59:59.000Z")
        );
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
        // It is 2027.
        for (year, is) in [
            ("27", "2027"),
            ("77", "2077"),
            ("78", "1978"),
            ("99", "1999"),
            ("00", "2000"),
        ] {
            let text = format!("Friday, 01-Jan-{year} 00:00:00 GMT");
            let read = parse(&text, NOW).expect("a date").to_string();
            assert!(read.starts_with(is), "{text} {read}");
        }
    }

    #[test]
    fn a_pause_is_seconds_or_until_a_date() {
        let now = Timestamp(THEN.0 - 90_000);
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none_and_harms_nobody() {
        for text in [
            "",
            "-5",
            "+5",
            "1.5",
            "99999999999999999999",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT+1",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 9223372036854775807:00:00 GMT",
            "Sun, 9223372036854775807 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun Nov  6 08:49:37",
        ] {
            assert_eq!(retry_after(text, NOW), None, "{text}");
        }
    }
}
