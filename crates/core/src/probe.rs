//! A question about the system and its answer: [`Verdict`] with [`Evidence`]. Missing data is `Unknown`, never `Pass`.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// What a probe found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// Nobody can say: no data, no answer, too few samples.
    Unknown,
}

impl Verdict {
    /// `Fail` wins over `Unknown`, which wins over `Pass`.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fail, _) | (_, Self::Fail) => Self::Fail,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Pass, Self::Pass) => Self::Pass,
        }
    }
}

/// What a verdict rests on, for a person: what was looked at, what was seen, when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// What was asked, such as `GET http://127.0.0.1:20001/health`.
    pub looked_at: String,
    /// What was seen, such as `connection refused`.
    pub saw: String,
    /// When.
    pub at: Timestamp,
}

/// A verdict and its evidence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The answer.
    pub verdict: Verdict,
    /// Why.
    pub evidence: Evidence,
}

/// Something that can be asked whether it holds.
pub trait Probe {
    /// Asks once. Bounded by the probe's own time limit; never panics on a bad answer.
    fn ask(&self) -> Finding;
}
