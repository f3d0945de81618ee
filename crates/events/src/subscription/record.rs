//! Stored forms, versioned: a subscription's row, the row of a key, the audit.
//!
//! Every form begins with `v`. A field is only ever added, with a default that keeps the old meaning; anything else
//! raises `v` and keeps the old reader. Tests: golden texts, beside it.

use super::config::{Begin, SubscriptionName};
use super::lane::Lane;
use super::phase::{KeyState, Mode};
use bytes::Bytes;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Row, RowOp, StoreError, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

const VERSION: u16 = 1;
/// State of a row whose events are all done.
const FINISHED: &str = "done";

/// A subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) v: u16,
    /// Every wanted event up to here is done or in a row.
    pub(crate) position: u64,
    /// Events acknowledged in all.
    pub(crate) delivered: u64,
    /// An operator holds it.
    pub(crate) paused: bool,
}

impl Saved {
    /// A new one; `head` is the last position of the log.
    pub(crate) fn new(begin: Begin, head: u64) -> Self {
        let position = match begin {
            Begin::Start => 0,
            Begin::Now => head,
        };
        Self {
            v: VERSION,
            position,
            delivered: 0,
            paused: false,
        }
    }

    pub(crate) fn row(&self, name: &SubscriptionName, at: Timestamp) -> Result<RowOp, StoreError> {
        let mode = if self.paused { Mode::Paused } else { Mode::Running };
        Ok(RowOp::Put(
            Table::Subscription,
            Row {
                key: name.to_string(),
                state: mode.as_str().to_owned(),
                name: name.service.to_string(),
                detail: String::new(),
                wake_at: None,
                updated_at: at,
                body: write(self)?,
            },
        ))
    }
}

/// The row of a key.
#[derive(Debug, Serialize, Deserialize)]
struct SavedLane {
    v: u16,
    key: Arc<str>,
    since: Timestamp,
    known: u64,
    #[serde(default)]
    queue: Vec<u64>,
    #[serde(default)]
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    edits: BTreeMap<u64, Box<RawValue>>,
}

/// The name of a key's row: keys of one subscription stand together, in their order.
pub(crate) fn row_key(name: &str, key: &str) -> String {
    format!("{name}/{key}")
}

/// What the row of a key becomes; `None` as the lane: nothing is left of it.
pub(crate) fn lane_row(name: &str, key: &Arc<str>, lane: Option<&Lane>, at: Timestamp) -> Result<RowOp, StoreError> {
    let row_key = row_key(name, key);
    let Some(lane) = lane.filter(|lane| lane.is_stored()) else {
        return Ok(RowOp::Delete(Table::Delivery, row_key));
    };
    let is_open = lane.state.has_row();
    let edits = lane.edits.iter().map(|(position, data)| {
        let data = RawValue::from_string(data.to_string());
        Ok((*position, data.map_err(|error| torn("an edited event", &error))?))
    });
    let saved = SavedLane {
        v: VERSION,
        key: key.clone(),
        since: lane.since,
        known: lane.known,
        queue: if is_open {
            lane.queue.iter().copied().collect()
        } else {
            Vec::new()
        },
        attempts: if is_open { lane.attempts } else { 0 },
        error: lane.error.clone().filter(|_| is_open),
        edits: edits.collect::<Result<_, StoreError>>()?,
    };
    Ok(RowOp::Put(
        Table::Delivery,
        Row {
            key: row_key,
            state: if is_open { lane.state.as_str() } else { FINISHED }.to_owned(),
            name: name.to_owned(),
            detail: String::new(),
            wake_at: lane.wake_at.filter(|_| is_open),
            updated_at: at,
            body: write(&saved)?,
        },
    ))
}

/// Reads the row of a key back.
pub(crate) fn read_lane(row: &Row) -> Result<(Arc<str>, Lane), StoreError> {
    let saved: SavedLane = read("a delivery row", &row.body)?;
    let edits = saved.edits.into_iter();
    let lane = Lane {
        state: KeyState::of_row(&row.state).unwrap_or(KeyState::Flowing),
        queue: saved.queue.into(),
        attempts: saved.attempts,
        error: saved.error,
        wake_at: row.wake_at,
        known: saved.known,
        edits: edits.map(|(position, data)| (position, data.get().into())).collect(),
        ..Lane::new(saved.since)
    };
    Ok((saved.key, lane))
}

/// An operator's action in the audit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Audited {
    pub(crate) v: u16,
    pub(crate) who: String,
    /// Such as `redrive`.
    pub(crate) action: String,
    pub(crate) subscription: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Of the event, or that of a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<u64>,
    /// How many keys it reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<u64>,
    /// Why, in the operator's words.
    pub(crate) reason: String,
}

impl Audited {
    pub(crate) fn row(mut self, id: String, at: Timestamp) -> Result<RowOp, StoreError> {
        self.v = VERSION;
        Ok(RowOp::Put(
            Table::Audit,
            Row {
                key: id,
                state: "done".to_owned(),
                name: self.action.clone(),
                detail: self.subscription.clone(),
                wake_at: None,
                updated_at: at,
                body: write(&self)?,
            },
        ))
    }
}

/// A stored form as it is kept.
pub(crate) fn write<T: Serialize>(form: &T) -> Result<Bytes, StoreError> {
    serde_json::to_vec(form)
        .map(Bytes::from)
        .map_err(|error| torn("a stored form", &error))
}

/// Reads a stored form of this or an earlier version.
pub(crate) fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, StoreError> {
    #[derive(Deserialize)]
    struct Version {
        v: u16,
    }
    let version: Version = serde_json::from_slice(body).map_err(|error| torn(what, &error))?;
    if version.v > VERSION {
        let (found, known) = (version.v, VERSION);
        return Err(StoreError::Broken(format!(
            "{what} is of version {found}; this Ondol knows {known}"
        )));
    }
    serde_json::from_slice(body).map_err(|error| torn(what, &error))
}

pub(crate) fn torn(what: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Broken(format!("{what} cannot be read or written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn name() -> SubscriptionName {
        "points.orders".parse().expect("valid")
    }

    fn put(op: RowOp) -> Row {
        match op {
            RowOp::Put(_, row) => row,
            RowOp::Delete(..) => panic!("a row"),
        }
    }

    #[test]
    fn a_subscription_is_stored_as_it_always_was() {
        let golden = r#"{"v":1,"position":7,"delivered":5,"paused":true}"#;
        let saved: Saved = read("a subscription", golden.as_bytes()).expect("reads");
        let row = put(saved.row(&name(), Timestamp(1)).expect("writes"));
        assert_eq!(
            (&*row.body, &*row.key, &*row.state),
            (golden.as_bytes(), "points.orders", "paused")
        );
        assert_eq!(
            (Saved::new(Begin::Start, 9).position, Saved::new(Begin::Now, 9).position),
            (0, 9)
        );
    }

    #[test]
    fn a_key_is_stored_as_it_always_was() {
        let golden = r#"{"v":1,"key":"order-1","since":3,"known":9,"queue":[7,9],"attempts":2,"error":"answered 500","edits":{"9":{"a":1.50}}}"#;
        let row = Row {
            key: "points.orders/order-1".into(),
            state: "retrying".into(),
            name: "points.orders".into(),
            detail: String::new(),
            wake_at: Some(Timestamp(8)),
            updated_at: Timestamp(4),
            body: Bytes::from_static(golden.as_bytes()),
        };
        let (key, lane) = read_lane(&row).expect("reads");
        assert_eq!(
            (&*key, lane.state, &lane.queue),
            ("order-1", KeyState::Retrying, &VecDeque::from([7, 9]))
        );
        assert_eq!(
            put(lane_row("points.orders", &key, Some(&lane), Timestamp(4)).expect("writes")),
            row
        );
    }

    #[test]
    fn a_finished_row_keeps_how_far_it_reached_and_nothing_else() {
        let mut lane = Lane {
            known: 9,
            attempts: 1,
            error: Some("x".into()),
            ..Lane::new(Timestamp(3))
        };
        lane.queue.push_back(12);
        let row = put(lane_row("points.orders", &"k".into(), Some(&lane), Timestamp(4)).expect("writes"));
        assert_eq!((&*row.state, row.wake_at), ("done", None));
        assert_eq!(
            &*row.body,
            br#"{"v":1,"key":"k","since":3,"known":9,"queue":[],"attempts":0}"#
        );
        let (_, back) = read_lane(&row).expect("reads");
        assert_eq!((back.state, back.known, back.queue.len()), (KeyState::Flowing, 9, 0));
        lane.known = 0;
        let gone = lane_row("points.orders", &"k".into(), Some(&lane), Timestamp(4)).expect("writes");
        assert_eq!(gone, RowOp::Delete(Table::Delivery, "points.orders/k".into()));
    }

    #[test]
    fn the_audit_is_stored_as_it_always_was() {
        let golden = r#"{"v":1,"who":"operator","action":"skip","subscription":"points.orders","key":"order-1","position":7,"reason":"a test"}"#;
        let audited: Audited = read("an audit entry", golden.as_bytes()).expect("reads");
        let row = put(audited.row("id".into(), Timestamp(1)).expect("writes"));
        assert_eq!(
            (&*row.body, &*row.name, &*row.detail),
            (golden.as_bytes(), "skip", "points.orders")
        );
    }

    #[test]
    fn what_a_later_ondol_wrote_is_not_guessed_at() {
        let later = read::<Saved>(
            "a subscription",
            br#"{"v":2,"position":7,"delivered":5,"paused":false}"#,
        );
        assert!(matches!(later, Err(StoreError::Broken(why)) if why.contains("version 2")));
        assert!(read::<Saved>("a subscription", b"{").is_err());
    }
}
