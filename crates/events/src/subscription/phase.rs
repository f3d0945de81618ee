//! Where a subscription stands, and where the events of one key stand; and which moves each may make.
//!
//! Invariants
//! - [`TRANSITIONS`] and [`KEY_TRANSITIONS`] are the whole truth: `next` reads them, `docs/flows/subscription.md` is
//!   drawn from them.
//!
//! Not here: when a move is made (`machine.rs`). Tests: beside it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a subscription stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Reads the log and delivers.
    Running,
    /// Delivers, but reads no further: its dead letters are at their bound.
    Full,
    /// The service cannot be reached, or asked to be left alone for a while: one probe after each pause.
    Waiting,
    /// The service answers as if the path or the rights were wrong: one probe after each pause.
    Misconfigured,
    /// Held by an operator.
    Paused,
}

/// What moves a subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Move {
    /// Too many keys or events wait in rows.
    AtBound,
    /// There is room again.
    BelowBound,
    /// An attempt was not sent, or answered by 429, or by 503 with `Retry-After`.
    Unreachable,
    /// An attempt was answered by 401, 403, 404 or 405.
    Misanswered,
    /// The probe was answered.
    Answered,
    /// An operator asked.
    Pause,
    /// An operator asked, or the manifest changed.
    Resume,
}

use Mode::{Full, Misconfigured, Paused, Running, Waiting};
use Move::{Answered, AtBound, BelowBound, Misanswered, Pause, Resume, Unreachable};

/// Every legal move of a subscription. An absent pair changes nothing.
pub const TRANSITIONS: &[(Mode, Move, Mode)] = &[
    (Running, AtBound, Full),
    (Running, Unreachable, Waiting),
    (Running, Misanswered, Misconfigured),
    (Running, Pause, Paused),
    (Full, BelowBound, Running),
    (Full, Unreachable, Waiting),
    (Full, Misanswered, Misconfigured),
    (Full, Pause, Paused),
    (Waiting, Unreachable, Waiting),
    (Waiting, Misanswered, Misconfigured),
    (Waiting, Answered, Running),
    (Waiting, Pause, Paused),
    (Waiting, Resume, Running),
    (Misconfigured, Unreachable, Waiting),
    (Misconfigured, Misanswered, Misconfigured),
    (Misconfigured, Answered, Running),
    (Misconfigured, Pause, Paused),
    (Misconfigured, Resume, Running),
    (Paused, Resume, Running),
];

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 5] = [Running, Full, Waiting, Misconfigured, Paused];

    /// Where `by` leads from here; `None`: it changes nothing.
    pub fn next(self, by: Move) -> Option<Self> {
        let row = TRANSITIONS.iter().find(|row| (row.0, row.1) == (self, by));
        row.map(|row| row.2)
    }

    /// Its name in rows, lists and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Running => "running",
            Full => "full",
            Waiting => "waiting",
            Misconfigured => "misconfigured",
            Paused => "paused",
        }
    }

    /// Only a probe may be sent.
    pub const fn is_held(self) -> bool {
        matches!(self, Waiting | Misconfigured)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where the events of one key stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// In the window, in the order of the log. Has no row.
    Flowing,
    /// Its one event is not to be delivered yet.
    Delayed,
    /// The first event failed, or did and has been passed: the key goes on by its row.
    Retrying,
    /// A person must act: redrive, edit or skip.
    Parked,
    /// Nothing is left to deliver. Has no row.
    Gone,
}

/// What moves a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyMove {
    /// Its first event has a `deliverat` to come.
    Deferred,
    /// An attempt failed, and more are left.
    Failed,
    /// The last attempt failed, or the service refused the event.
    GaveUp,
    /// So many of its events wait that they would hold up the window.
    Spilled,
    /// Its first event was delivered or skipped; more are behind it.
    Passed,
    /// Its only event was delivered or skipped.
    Emptied,
    /// An operator asked.
    Redriven,
}

use KeyMove::{Deferred, Emptied, Failed, GaveUp, Passed, Redriven, Spilled};
use KeyState::{Delayed, Flowing, Gone, Parked, Retrying};

/// Every legal move of a key. An absent pair is refused.
pub const KEY_TRANSITIONS: &[(KeyState, KeyMove, KeyState)] = &[
    (Flowing, Deferred, Delayed),
    (Flowing, Failed, Retrying),
    (Flowing, GaveUp, Parked),
    (Flowing, Spilled, Retrying),
    (Flowing, Passed, Flowing),
    (Flowing, Emptied, Gone),
    (Delayed, Failed, Retrying),
    (Delayed, GaveUp, Parked),
    (Delayed, Passed, Retrying),
    (Delayed, Emptied, Gone),
    (Retrying, Failed, Retrying),
    (Retrying, GaveUp, Parked),
    (Retrying, Passed, Retrying),
    (Retrying, Emptied, Gone),
    (Parked, Passed, Retrying),
    (Parked, Emptied, Gone),
    (Parked, Redriven, Retrying),
];

impl KeyState {
    /// Every state.
    pub const ALL: [Self; 5] = [Flowing, Delayed, Retrying, Parked, Gone];

    /// Where `by` leads from here; `None`: it may not happen here.
    pub fn next(self, by: KeyMove) -> Option<Self> {
        let row = KEY_TRANSITIONS.iter().find(|row| (row.0, row.1) == (self, by));
        row.map(|row| row.2)
    }

    /// Its name in rows, lists and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Flowing => "flowing",
            Delayed => "delayed",
            Retrying => "retrying",
            Parked => "parked",
            Gone => "gone",
        }
    }

    /// The state of a row.
    pub fn of_row(text: &str) -> Option<Self> {
        [Delayed, Retrying, Parked]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// It lives in a row of the store.
    pub const fn has_row(self) -> bool {
        matches!(self, Delayed | Retrying | Parked)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The page `docs/flows/subscription.md`: both tables as drawings.
pub fn flow_page() -> String {
    let mut page = String::from(
        "# Flow: where a subscription stands\n\n\
         Drawn from `TRANSITIONS` and `KEY_TRANSITIONS` in `crates/events/src/subscription/phase.rs` and checked by their test;\n\
         change the tables, then run `UPDATE_FLOWS=1 cargo test -p ondol-events flow`.\n\n\
         The whole subscription. In `waiting` and `misconfigured` no attempt is counted against any event.\n\n\
         ```mermaid\nstateDiagram-v2\n    [*] --> running\n",
    );
    for (from, by, to) in TRANSITIONS {
        page.push_str(&format!("    {from} --> {to}: {}\n", words(*by)));
    }
    page.push_str(
        "```\n\nThe events of one key. `delayed`, `retrying` and `parked` are rows of the store: the subscription's position passes\n\
         them, and other keys go on. A parked key waits for a person: `ondol dlq show SUBSCRIPTION KEY` says why, `ondol dlq\n\
         redrive`, `edit` and `skip` act, each with an entry in the audit.\n\n```mermaid\nstateDiagram-v2\n    [*] --> flowing\n",
    );
    for (from, by, to) in KEY_TRANSITIONS {
        let to = if *to == Gone { "[*]" } else { to.as_str() };
        page.push_str(&format!("    {from} --> {to}: {}\n", key_words(*by)));
    }
    page.push_str("```\n");
    page
}

const fn words(by: Move) -> &'static str {
    match by {
        AtBound => "rows at their bound",
        BelowBound => "room again",
        Unreachable => "not sent, 429, or 503 with Retry-After",
        Misanswered => "401, 403, 404 or 405",
        Answered => "the probe was answered",
        Pause => "pause",
        Resume => "resume, or another manifest",
    }
}

const fn key_words(by: KeyMove) -> &'static str {
    match by {
        Deferred => "deliverat is to come",
        Failed => "an attempt failed",
        GaveUp => "refused, or no attempt is left",
        Spilled => "would hold up the window",
        Passed => "first event delivered or skipped",
        Emptied => "last event delivered or skipped",
        Redriven => "redrive",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_page_is_drawn_from_the_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/flows/subscription.md");
        if std::env::var_os("UPDATE_FLOWS").is_some() {
            std::fs::write(path, flow_page()).expect("the page can be written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("the page exists"), flow_page());
    }

    #[test]
    fn no_pair_stands_twice_and_gone_has_no_way_out() {
        let moves = [AtBound, BelowBound, Unreachable, Misanswered, Answered, Pause, Resume];
        let pairs = Mode::ALL
            .iter()
            .flat_map(|from| moves.iter().filter(|by| from.next(**by).is_some()));
        assert_eq!(pairs.count(), TRANSITIONS.len());
        let moves = [Deferred, Failed, GaveUp, Spilled, Passed, Emptied, Redriven];
        let pairs = KeyState::ALL
            .iter()
            .flat_map(|from| moves.iter().filter(|by| from.next(**by).is_some()));
        assert_eq!(pairs.count(), KEY_TRANSITIONS.len());
        assert!(moves.iter().all(|by| Gone.next(*by).is_none()));
    }

    #[test]
    fn every_mode_can_run_again_and_every_key_can_end() {
        assert!(
            Mode::ALL
                .iter()
                .all(|from| TRANSITIONS.iter().any(|row| row.0 == *from))
        );
        let ends = [Flowing, Delayed, Retrying, Parked].map(|from| from.next(Emptied));
        assert_eq!(ends, [Some(Gone); 4]);
    }
}
