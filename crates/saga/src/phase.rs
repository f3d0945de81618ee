//! Where a saga stands, and which moves it may make.
//!
//! Invariants
//! - [`TRANSITIONS`] is the whole truth: [`Phase::next`] reads it, and `docs/flows/saga.md` is drawn from it.
//! - `Done` and `Aborted` have no way out.
//!
//! Not here: when a move is made (`machine.rs`). Tests: beside it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a saga stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Goes forward.
    Running,
    /// Goes forward, but a person must act first.
    Parked,
    /// Held by an operator on the way forward.
    Paused,
    /// Goes back: undoes what was done or may have been done.
    Compensating,
    /// Goes back, but a person must act first.
    Stuck,
    /// Held by an operator on the way back.
    PausedCompensating,
    /// Every step has ended well.
    Done,
    /// Everything that was done has been undone.
    Aborted,
}

/// What moves a saga.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Move {
    /// No step is left.
    StepsEnded,
    /// A step failed, the deadline came, or an operator cancelled.
    Abort,
    /// An answer came that only a person can settle.
    Held,
    /// A person settled it.
    Released,
    /// An operator asked.
    Pause,
    /// An operator asked.
    Resume,
    /// No compensation is left.
    UndoEnded,
}

use Move::{Abort, Held, Pause, Released, Resume, StepsEnded, UndoEnded};
use Phase::{Aborted, Compensating, Done, Parked, Paused, PausedCompensating, Running, Stuck};

/// Every legal move. An absent pair is an error, never a silent no-op.
pub const TRANSITIONS: &[(Phase, Move, Phase)] = &[
    (Running, StepsEnded, Done),
    (Running, Abort, Compensating),
    (Running, Held, Parked),
    (Running, Pause, Paused),
    (Parked, Abort, Compensating),
    (Parked, Released, Running),
    (Paused, Abort, Compensating),
    (Paused, Resume, Running),
    (Compensating, UndoEnded, Aborted),
    (Compensating, Held, Stuck),
    (Compensating, Pause, PausedCompensating),
    (Stuck, Released, Compensating),
    (PausedCompensating, Resume, Compensating),
];

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 8] = [
        Running,
        Parked,
        Paused,
        Compensating,
        Stuck,
        PausedCompensating,
        Done,
        Aborted,
    ];

    /// Where `by` leads from here; `None`: nowhere, it may not happen here.
    pub fn next(self, by: Move) -> Option<Self> {
        TRANSITIONS
            .iter()
            .find(|row| (row.0, row.1) == (self, by))
            .map(|row| row.2)
    }

    /// Its name in rows, lists and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Running => "running",
            Parked => "parked",
            Paused => "paused",
            Compensating => "compensating",
            Stuck => "stuck",
            PausedCompensating => "paused-compensating",
            Done => "done",
            Aborted => "aborted",
        }
    }

    /// Nothing more will happen.
    pub const fn is_final(self) -> bool {
        matches!(self, Done | Aborted)
    }

    /// Waits for a person, and so needs no wake-up.
    pub const fn is_held(self) -> bool {
        matches!(self, Parked | Paused | Stuck | PausedCompensating)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The page `docs/flows/saga.md`: the table as a drawing.
pub fn flow_page() -> String {
    let mut page = String::from(
        "# Flow: where a saga stands\n\nDrawn from `TRANSITIONS` in `crates/saga/src/phase.rs` and checked by its test; change the table, then run\n\
         `UPDATE_FLOWS=1 cargo test -p ondol-saga flow`.\n\n```mermaid\nstateDiagram-v2\n    [*] --> running\n",
    );
    for (from, by, to) in TRANSITIONS {
        page.push_str(&format!("    {} --> {}: {}\n", id(*from), id(*to), words(*by)));
    }
    for end in Phase::ALL.into_iter().filter(|phase| phase.is_final()) {
        page.push_str(&format!("    {} --> [*]\n", id(end)));
    }
    page.push_str(
        "```\n\n`parked`, `stuck` and the two `paused` states wait for a person: `ondol saga show ID` says why, `ondol saga retry`,\n\
         `skip`, `set-result`, `force-complete`, `force-compensate` and `resume` act, each with an entry in the audit.\n\
         Every other state that is not an end has a time at which it is looked at again.\n",
    );
    page
}

fn id(phase: Phase) -> String {
    phase.as_str().replace('-', "_")
}

const fn words(by: Move) -> &'static str {
    match by {
        StepsEnded => "every step has ended",
        Abort => "a step failed, deadline or cancel",
        Held => "only a person can settle it",
        Released => "a person settled it",
        Pause => "pause",
        Resume => "resume",
        UndoEnded => "every compensation has ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_page_is_drawn_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/flows/saga.md");
        if std::env::var_os("UPDATE_FLOWS").is_some() {
            std::fs::write(path, flow_page()).expect("the page can be written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("the page exists"), flow_page());
    }

    #[test]
    fn a_move_outside_the_table_leads_nowhere_and_ends_have_no_way_out() {
        let moves = [StepsEnded, Abort, Held, Released, Pause, Resume, UndoEnded];
        let legal = Phase::ALL
            .iter()
            .flat_map(|from| moves.iter().filter(|by| from.next(**by).is_some()))
            .count();
        assert_eq!(legal, TRANSITIONS.len(), "no pair stands twice");
        assert!(
            moves
                .iter()
                .all(|by| Done.next(*by).is_none() && Aborted.next(*by).is_none())
        );
    }

    #[test]
    fn every_phase_but_the_ends_reaches_an_end() {
        for from in Phase::ALL {
            let mut seen = vec![from];
            let mut n = 0;
            while n < seen.len() {
                let at = seen[n];
                seen.extend(
                    TRANSITIONS
                        .iter()
                        .filter(|row| row.0 == at)
                        .map(|row| row.2)
                        .filter(|to| !seen.contains(to))
                        .collect::<Vec<_>>(),
                );
                n += 1;
            }
            assert!(seen.iter().any(|phase| phase.is_final()), "{from}");
        }
    }
}
