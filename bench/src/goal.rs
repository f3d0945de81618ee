//! What a measure is to reach, and whether it did. Pure.

use serde_json::{Value, json};
use std::fmt;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Goal {
    /// At most so many times a peer's figure.
    Times(&'static str, f64),
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(peer, most) => write!(f, "≤ × {most} of {peer}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

impl Goal {
    /// Whether it is reached by a median; `ratio` gives how many times a peer's figure ours is. `None`: the peer was not measured.
    pub(crate) fn reached(&self, median: f64, ratio: impl Fn(&str) -> Option<f64>) -> Option<bool> {
        match self {
            Self::Times(peer, most) => ratio(peer).map(|ratio| ratio <= *most),
            Self::AtMost(most) => Some(median <= *most),
            Self::AtLeast(least) => Some(median >= *least),
        }
    }

    /// For a cell of a table.
    pub(crate) fn cell(&self, reached: Option<bool>) -> String {
        let word = match reached {
            Some(true) => "reached",
            Some(false) => "missed",
            None => "not measured",
        };
        format!("{self}: {word}")
    }

    pub(crate) fn json(&self, reached: Option<bool>) -> Value {
        json!({ "goal": self.to_string(), "reached": reached })
    }
}
