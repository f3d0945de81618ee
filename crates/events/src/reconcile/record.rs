//! Stored forms, versioned: the last run of a reconciliation, and a key that does not fit. Golden texts are beside it.

use super::machine::{Drift, Last, Machine, Repaired, Tally};
use super::rule::Finding;
use crate::subscription::record::{read, write};
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Row, RowOp, StoreError, Table};
use serde::{Deserialize, Serialize};

const VERSION: u16 = 1;

/// The last run.
#[derive(Debug, Serialize, Deserialize)]
struct SavedRun {
    v: u16,
    at: Timestamp,
    keys: u64,
    moving: u64,
    more: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
    #[serde(default)]
    failures: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedDrift {
    v: u16,
    since: Timestamp,
    seen: u32,
    #[serde(flatten)]
    finding: Finding,
    /// The saga that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    /// Why it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// The name of a key's row. No reconciliation's name has a slash, so it is never that of a run.
fn row_key(name: &str, key: &str) -> String {
    format!("{name}/{key}")
}

/// The row of the last run: due when the next one is. `None`: there was none yet.
pub(super) fn run_row(name: &str, machine: &Machine, at: Timestamp) -> Result<Option<RowOp>, StoreError> {
    let Some(last) = &machine.last else { return Ok(None) };
    let saved = SavedRun {
        v: VERSION,
        at: last.at,
        keys: last.tally.keys,
        moving: last.tally.moving,
        more: last.tally.more,
        unknown: last.unknown.clone(),
        failures: machine.failures,
    };
    let state = if last.unknown.is_some() { "unknown" } else { "finished" };
    let row = row(name.to_owned(), name, state, Some(machine.wake_at), at, write(&saved)?);
    Ok(Some(RowOp::Put(Table::Reconciliation, row)))
}

/// The row of a key that does not fit.
pub(super) fn drift_row(name: &str, key: &str, drift: &Drift, at: Timestamp) -> Result<RowOp, StoreError> {
    let (started, refused) = match &drift.repaired {
        Repaired::Not => (None, None),
        Repaired::Started(saga) => (Some(saga.clone()), None),
        Repaired::Refused(why) => (None, Some(why.clone())),
    };
    let saved = SavedDrift {
        v: VERSION,
        since: drift.since,
        seen: drift.seen,
        finding: drift.finding.clone(),
        started,
        refused,
    };
    let state = if drift.is_reported() { "reported" } else { "suspected" };
    let row = row(row_key(name, key), name, state, None, at, write(&saved)?);
    Ok(RowOp::Put(Table::Reconciliation, row))
}

/// Takes a key's row away.
pub(super) fn gone(name: &str, key: &str) -> RowOp {
    RowOp::Delete(Table::Reconciliation, row_key(name, key))
}

fn row(key: String, name: &str, state: &str, wake_at: Option<Timestamp>, at: Timestamp, body: bytes::Bytes) -> Row {
    Row {
        key,
        state: state.to_owned(),
        name: name.to_owned(),
        detail: String::new(),
        wake_at,
        updated_at: at,
        body,
    }
}

/// Takes up a row that an earlier life left.
pub(super) fn restore(name: &str, machine: &mut Machine, row: &Row) -> Result<(), StoreError> {
    let Some(key) = row.key.strip_prefix(name).and_then(|rest| rest.strip_prefix('/')) else {
        let saved: SavedRun = read("the last run of a reconciliation", &row.body)?;
        let tally = Tally {
            keys: saved.keys,
            moving: saved.moving,
            more: saved.more,
        };
        machine.last = Some(Last {
            at: saved.at,
            tally,
            unknown: saved.unknown,
        });
        machine.failures = saved.failures;
        machine.wake_at = row.wake_at.unwrap_or(machine.wake_at);
        return Ok(());
    };
    let saved: SavedDrift = read("a drift", &row.body)?;
    let repaired = match (saved.started, saved.refused) {
        (Some(saga), _) => Repaired::Started(saga),
        (None, Some(why)) => Repaired::Refused(why),
        (None, None) => Repaired::Not,
    };
    let drift = Drift {
        since: saved.since,
        seen: saved.seen,
        finding: saved.finding,
        repaired,
    };
    machine.drifts.insert(key.to_owned(), drift);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::rule::Mend;
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn machine() -> Machine {
        Machine::new(Duration::from_secs(60), Timestamp(0))
    }

    fn put(op: RowOp) -> (String, String, String) {
        let RowOp::Put(Table::Reconciliation, row) = op else {
            panic!("a put")
        };
        assert_eq!(row.name, "orders");
        let body = std::str::from_utf8(&row.body).expect("UTF-8").to_owned();
        let mut back = machine();
        restore("orders", &mut back, &row).expect("reads");
        // What was read is written again as it was.
        let again = match back.drifts.iter().next() {
            Some((key, drift)) => drift_row("orders", key, drift, Timestamp(9)).expect("writes"),
            None => run_row("orders", &back, Timestamp(9)).expect("writes").expect("a run"),
        };
        assert_eq!(again, RowOp::Put(Table::Reconciliation, row.clone()));
        (row.key, row.state, body)
    }

    #[test]
    fn version_1_of_a_run_is_written_and_read_back() {
        let mut m = machine();
        assert_eq!(run_row("orders", &m, Timestamp(9)).expect("writes"), None);
        m.last = Some(Last {
            at: Timestamp(5),
            tally: Tally {
                keys: 7,
                moving: 1,
                more: 2,
            },
            unknown: None,
        });
        let (key, state, body) = put(run_row("orders", &m, Timestamp(9)).expect("writes").expect("a run"));
        assert_eq!((key.as_str(), state.as_str()), ("orders", "finished"));
        assert_eq!(body, r#"{"v":1,"at":5,"keys":7,"moving":1,"more":2,"failures":0}"#);
        if let Some(last) = &mut m.last {
            last.unknown = Some("payments answered 500".into());
        }
        m.failures = 3;
        let (_, state, body) = put(run_row("orders", &m, Timestamp(9)).expect("writes").expect("a run"));
        assert_eq!(state, "unknown");
        assert_eq!(
            body,
            r#"{"v":1,"at":5,"keys":7,"moving":1,"more":2,"unknown":"payments answered 500","failures":3}"#
        );
    }

    #[test]
    fn version_1_of_a_drift_is_written_and_read_back() {
        let mut drift = Drift {
            since: Timestamp(5),
            seen: 1,
            finding: Finding {
                why: vec!["charges: absent, expected present".into()],
                values: [("charges".to_owned(), json!("absent"))].into(),
                mend: None,
            },
            repaired: Repaired::Not,
        };
        let row = |drift: &Drift| put(drift_row("orders", "a/b", drift, Timestamp(9)).expect("writes"));
        let head =
            r#"{"v":1,"since":5,"seen":1,"why":["charges: absent, expected present"],"values":{"charges":"absent"}"#;
        assert_eq!(
            row(&drift),
            ("orders/a/b".into(), "suspected".into(), format!("{head}}}"))
        );
        drift.seen = 2;
        drift.finding.mend = Some(Mend {
            saga: "mend".parse().expect("a name"),
            input: json!({ "order": "a/b" }),
        });
        drift.repaired = Repaired::Started("s-1".into());
        let head = head.replace("\"seen\":1", "\"seen\":2") + r#","mend":{"saga":"mend","input":{"order":"a/b"}}"#;
        let (_, state, body) = row(&drift);
        assert_eq!(
            (state.as_str(), body),
            ("reported", format!(r#"{head},"started":"s-1"}}"#))
        );
        drift.repaired = Repaired::Refused("full".into());
        assert_eq!(row(&drift).2, format!(r#"{head},"refused":"full"}}"#));
    }

    #[test]
    fn a_form_of_a_later_version_is_refused() {
        let RowOp::Put(_, mut row) = drift_row(
            "orders",
            "a",
            &Drift {
                since: Timestamp(1),
                seen: 1,
                finding: Finding::default(),
                repaired: Repaired::Not,
            },
            Timestamp(1),
        )
        .expect("writes") else {
            panic!("a put")
        };
        row.body = bytes::Bytes::from_static(br#"{"v":2}"#);
        assert!(restore("orders", &mut machine(), &row).is_err());
    }
}
