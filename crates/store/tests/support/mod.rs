//! What the store's tests share: stores to open, short words for writes, a real PostgreSQL, and a model to compare with.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod model;
pub mod postgres;

use bytes::Bytes;
use ondol_core::clock::{SystemClock, Timestamp};
use ondol_core::engine::{
    Append, Committed, Expected, Guard, NewEvent, Record, Row, RowOp, SharedEngine, StoreError, Table, Write,
};
use ondol_core::entropy::SystemEntropy;
use ondol_core::id::StreamName;
use ondol_store::{Config, OpenError};
use std::sync::Arc;

/// An empty store of one kind, which can be opened again and again.
pub struct Bench {
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    pub async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        Some(Self {
            url,
            _folder: Some(folder),
        })
    }

    /// A database of its own in this program's PostgreSQL; `None`, with a line that says why, where there is none.
    pub async fn postgres() -> Option<Self> {
        Some(Self::at(postgres::shared()?.new_database()))
    }

    pub fn at(url: String) -> Self {
        Self { url, _folder: None }
    }

    pub async fn open(&self) -> SharedEngine {
        self.open_with(Config::default()).await.expect("opens")
    }

    pub async fn open_with(&self, config: Config) -> Result<SharedEngine, OpenError> {
        ondol_store::open_with(&self.url, config, Arc::new(SystemClock), Arc::new(SystemEntropy)).await
    }
}

pub fn stream(name: &str) -> StreamName {
    name.parse().expect("a stream's name")
}

/// A row that holds `body` and is due at `wake_at`.
pub fn row(key: &str, state: &str, wake_at: Option<i64>, body: &str) -> Row {
    Row {
        key: key.into(),
        state: state.into(),
        name: format!("name-of-{state}"),
        detail: "d".into(),
        wake_at: wake_at.map(Timestamp),
        updated_at: Timestamp(7),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

pub fn put(row: Row) -> Write {
    Write {
        rows: vec![RowOp::Put(Table::Saga, row)],
        ..Write::default()
    }
}

/// Puts the row `key` unless it is there.
pub fn create(key: &str, body: &str) -> Write {
    Write {
        guards: vec![Guard::Absent(Table::Saga, key.into())],
        ..put(row(key, "new", None, body))
    }
}

pub fn record(subject: &str, body: &str) -> Record {
    Record {
        subject: subject.into(),
        kind: "k".into(),
        at: Timestamp(3),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

pub fn log(subject: &str, body: &str) -> Write {
    Write {
        records: vec![record(subject, body)],
        ..Write::default()
    }
}

pub fn event(id: &str) -> NewEvent {
    NewEvent {
        id: id.into(),
        kind: "happened".into(),
        at: Timestamp(5),
        correlation: None,
        body: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
    }
}

pub fn append(name: &str, expected: Expected, ids: &[&str]) -> Write {
    let append = Append {
        stream: stream(name),
        expected,
        events: ids.iter().map(|id| event(id)).collect(),
    };
    Write {
        appends: vec![append],
        ..Write::default()
    }
}

/// Submits all writes in their order before it waits for any, so that they share batches, and gives their outcomes.
pub async fn together(engine: &SharedEngine, writes: Vec<Write>) -> Vec<Result<Committed, StoreError>> {
    futures_util::future::join_all(writes.into_iter().map(|write| engine.commit(write))).await
}
