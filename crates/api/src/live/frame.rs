//! What is told of a topic: its state as members of an object, and things that came and are not kept. Pure.
//!
//! Invariants
//! - A snapshot followed by every later delta gives the state; each frame of a topic carries the next number `n`, so
//!   that a reader sees a gap.
//! - What did not change is not told.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A topic's state by key.
pub(crate) type State = BTreeMap<String, Value>;

/// What is known of a topic now.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// The whole state; `None`: as before.
    pub(crate) state: Option<State>,
    /// What came since the last sample.
    pub(crate) items: Vec<Value>,
    /// How many items were left out since then, at least.
    pub(crate) lost: u64,
}

/// What is told.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Frame {
    /// Rises by one with each frame of a topic; a snapshot has the number of the last delta that is in it.
    pub(crate) n: u64,
    /// It replaces what was told before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) snapshot: bool,
    /// New and changed members.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) put: State,
    /// Keys that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<String>,
    /// What came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) items: Vec<Value>,
    /// How many were left out, at least.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) lost: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A topic as its readers know it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    n: u64,
    state: State,
}

impl Told {
    /// Takes what is known now; the difference, if there is one.
    pub(crate) fn turn(&mut self, sample: Sample) -> Option<Frame> {
        let Sample { state, items, lost } = sample;
        let (mut put, mut gone) = (State::new(), Vec::new());
        if let Some(next) = state {
            gone = self
                .state
                .keys()
                .filter(|key| !next.contains_key(*key))
                .cloned()
                .collect();
            let changed = next.iter().filter(|(key, value)| self.state.get(*key) != Some(value));
            put = changed.map(|(key, value)| (key.clone(), value.clone())).collect();
            self.state = next;
        }
        if put.is_empty() && gone.is_empty() && items.is_empty() && lost == 0 {
            return None;
        }
        self.n += 1;
        let n = self.n;
        Some(Frame {
            n,
            put,
            gone,
            items,
            lost,
            ..Frame::default()
        })
    }

    /// Everything, for one who knows nothing. `items` are those that are kept elsewhere.
    pub(crate) fn snapshot(&self, items: Vec<Value>) -> Frame {
        Frame {
            n: self.n,
            snapshot: true,
            put: self.state.clone(),
            items,
            ..Frame::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(members: &[(&str, u64)]) -> Sample {
        let state = members
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        Sample {
            state: Some(state),
            ..Sample::default()
        }
    }

    #[test]
    fn a_snapshot_and_the_deltas_after_it_give_the_state_and_sameness_is_silence() {
        let mut told = Told::default();
        assert!(told.turn(sample(&[])).is_none());
        let first = told.turn(sample(&[("a", 1), ("b", 2)])).expect("news");
        assert_eq!((first.n, first.put.len()), (1, 2));
        assert!(told.turn(sample(&[("a", 1), ("b", 2)])).is_none());
        let snapshot = told.snapshot(vec![]);
        let second = told.turn(sample(&[("b", 3), ("c", 4)])).expect("news");
        assert_eq!((second.n, &second.gone[..]), (snapshot.n + 1, &["a".to_owned()][..]));
        let mut state = snapshot.put;
        state.extend(second.put);
        second.gone.iter().for_each(|key| drop(state.remove(key)));
        assert_eq!(state, told.snapshot(vec![]).put);
    }

    #[test]
    fn items_are_told_once_and_what_was_left_out_is_counted() {
        let mut told = Told::default();
        let items = Sample {
            items: vec![json!(1)],
            lost: 7,
            ..Sample::default()
        };
        let frame = told.turn(items).expect("news");
        assert_eq!((frame.items.len(), frame.lost), (1, 7));
        assert!(told.turn(Sample::default()).is_none());
    }
}
