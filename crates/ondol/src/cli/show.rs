//! How things look on a terminal. Colour never says anything that the words do not.

use anstyle::{AnsiColor, Reset, Style};
use ondol_deploy::status::ServiceState;
use std::time::Duration;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BUSY: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const RESET: Reset = Reset;

/// A state's colour.
pub(crate) fn style(state: ServiceState) -> Style {
    use ServiceState::*;
    match state {
        Ready => GOOD,
        Building | Waiting | Starting | Replacing => BUSY,
        BuildFailed | Blocked | Degraded | Failing => BAD,
        Skipped | Stopped => FAINT,
    }
}

/// A state's word.
pub(crate) fn word(state: ServiceState) -> String {
    serde_json::to_value(state)
        .ok()
        .and_then(|value| value.as_str().map(Into::into))
        .unwrap_or_default()
}

/// `3s`, `2m10s`, `4h05m`, `3d`.
pub(crate) fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `1 service`, `2 services`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `text` cut to `width` characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `text` in lines of at most `width` characters; escape sequences count for nothing.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for whole in text.lines() {
        let (mut line, mut used, mut escape) = (String::new(), 0, false);
        for c in whole.chars() {
            escape |= c == '\u{1b}';
            if !escape && used == width.max(20) {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += usize::from(!escape);
            escape &= c != 'm';
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_cuts_read_well() {
        let ages = [5, 130, 14_700, 300_000].map(|s| age(Duration::from_secs(s)));
        assert_eq!(ages, ["5s", "2m10s", "4h05m", "3d"]);
        assert_eq!(
            (count(1, "saga"), count(0, "saga")),
            ("1 saga".into(), "0 sagas".into())
        );
        assert_eq!((cut("abcdef", 4), cut("ab\ncd", 4)), ("abc…".into(), "ab".into()));
    }

    #[test]
    fn long_words_wrap_and_colour_takes_no_room() {
        let text = format!("{BAD}{}{RESET}\nx", "a".repeat(30));
        let lines = wrap(&text, 20);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1], format!("{}{RESET}", "a".repeat(10)));
    }
}
