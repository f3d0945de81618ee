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
        BuildFailed | Degraded | Failing => BAD,
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

/// `text` cut to `width` characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_cuts_read_well() {
        let ages = [5, 130, 14_700, 300_000].map(|s| age(Duration::from_secs(s)));
        assert_eq!(ages, ["5s", "2m10s", "4h05m", "3d"]);
        assert_eq!((cut("abcdef", 4), cut("ab\ncd", 4)), ("abc…".into(), "ab".into()));
    }
}
