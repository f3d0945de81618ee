//! Stored forms, versioned: how far an outbox is relayed, and a row that waits. Golden texts are beside it.

use super::machine::Held;
use super::row::OutboxRow;
use crate::subscription::record::{read, torn, write};
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Row, RowOp, StoreError, Table};
use ondol_core::id::ServiceName;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const VERSION: u16 = 1;
/// Of an event's id so many bytes are in the name of its row.
const LONGEST_ID: usize = 300;

/// How far an outbox is relayed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) v: u16,
    pub(crate) cursor: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedRow {
    v: u16,
    row: OutboxRow,
    since: Timestamp,
    #[serde(default)]
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edited: Option<Box<RawValue>>,
}

/// The subscription-like name of a service's outbox.
pub(crate) fn name(service: &ServiceName) -> String {
    format!("{service}.{}", super::OUTBOX)
}

/// The name of a held row's row: in the order of `seq`; the id tells rows of two databases apart.
fn row_key(service: &ServiceName, row: &OutboxRow) -> String {
    let id: String = row.id.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!(
        "{}/{:020}/{}",
        name(service),
        row.seq,
        &id[..id.floor_char_boundary(LONGEST_ID)]
    )
}

pub(crate) fn cursor_row(
    service: &ServiceName,
    cursor: u64,
    file: Option<String>,
    at: Timestamp,
) -> Result<RowOp, StoreError> {
    let saved = Saved {
        v: VERSION,
        cursor,
        file,
    };
    Ok(RowOp::Put(
        Table::Relay,
        Row {
            key: service.to_string(),
            state: "relayed".to_owned(),
            name: service.to_string(),
            detail: String::new(),
            wake_at: None,
            updated_at: at,
            body: write(&saved)?,
        },
    ))
}

pub(crate) fn read_cursor(row: &Row) -> Result<Saved, StoreError> {
    read("how far an outbox is relayed", &row.body)
}

pub(crate) fn held_row(service: &ServiceName, held: &Held, at: Timestamp) -> Result<RowOp, StoreError> {
    let edited = held
        .edited
        .as_deref()
        .map(|data| RawValue::from_string(data.to_owned()));
    let saved = SavedRow {
        v: VERSION,
        row: held.row.clone(),
        since: held.since,
        attempts: held.attempts,
        error: held.error.clone(),
        edited: edited.transpose().map_err(|error| torn("an edited row", &error))?,
    };
    Ok(RowOp::Put(
        Table::Delivery,
        Row {
            key: row_key(service, &held.row),
            state: "parked".to_owned(),
            name: name(service),
            detail: String::new(),
            wake_at: None,
            updated_at: at,
            body: write(&saved)?,
        },
    ))
}

pub(crate) fn read_held(row: &Row) -> Result<Held, StoreError> {
    let saved: SavedRow = read("a row of an outbox", &row.body)?;
    Ok(Held {
        row: saved.row,
        error: saved.error,
        since: saved.since,
        attempts: saved.attempts,
        edited: saved.edited.map(|data| data.get().into()),
    })
}

pub(crate) fn gone(service: &ServiceName, row: &OutboxRow) -> RowOp {
    RowOp::Delete(Table::Delivery, row_key(service, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_written_and_read_back() {
        let service: ServiceName = "users".parse().expect("a name");
        let RowOp::Put(_, row) = cursor_row(&service, 7, Some("1:2".into()), Timestamp(5)).expect("writes") else {
            panic!("a put")
        };
        assert_eq!(&row.body[..], br#"{"v":1,"cursor":7,"file":"1:2"}"#);
        assert_eq!(read_cursor(&row).expect("reads").cursor, 7);
        let held = Held {
            row: OutboxRow {
                seq: 3,
                id: "e".into(),
                kind: "a.v1".into(),
                data: "{".into(),
                headers: "{}".into(),
                ..OutboxRow::default()
            },
            error: Some("no JSON".into()),
            since: Timestamp(5),
            attempts: 1,
            edited: Some("{\"a\": 1}".into()),
        };
        let RowOp::Put(_, row) = held_row(&service, &held, Timestamp(5)).expect("writes") else {
            panic!("a put")
        };
        assert_eq!(row.key, "users.outbox/00000000000000000003/e");
        let golden = r#"{"v":1,"row":{"seq":3,"id":"e","type":"a.v1","key":null,"source":null,"subject":null,"data":"{","headers":"{}","created":null},"since":5,"attempts":1,"error":"no JSON","edited":{"a": 1}}"#;
        assert_eq!(std::str::from_utf8(&row.body).expect("UTF-8"), golden);
        assert_eq!(read_held(&row).expect("reads"), held);
    }
}
