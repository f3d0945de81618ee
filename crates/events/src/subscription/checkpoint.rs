//! Makes durable where a subscription stands: the rows of keys first, its position last.
//!
//! Usually one commit holds all of it. Where it is much, it is cut into parts: the writer of the store is shared with
//! those who publish, and a part that is missing does no harm (`machine.rs`).

use super::record::{Saved, lane_row};
use super::service::Runner;
use ondol_core::BoxFuture;
use ondol_core::engine::{RowOp, SharedEngine, StoreError, Write};
use std::sync::Arc;

/// Rows of one commit, and the bytes of them.
const PART: (usize, usize) = (1_000, 1 << 20);

/// A checkpoint on its way.
pub(crate) struct Checkpoint {
    /// Keys whose rows are in it.
    pub(crate) keys: Vec<Arc<str>>,
    /// Entries of the audit in it.
    pub(crate) audits: Vec<RowOp>,
    /// The subscription as it will be.
    pub(crate) saved: Saved,
    /// In this order.
    parts: Vec<Write>,
}

impl Checkpoint {
    /// What has changed since the last one; takes it out of the runner.
    pub(crate) fn of(runner: &mut Runner) -> Result<Self, StoreError> {
        let (keys, audits) = (runner.machine.take_changed(), std::mem::take(&mut runner.audits));
        let saved = runner.present();
        match parts(runner, &keys, &audits, &saved) {
            Ok(parts) => Ok(Self {
                keys,
                audits,
                saved,
                parts,
            }),
            Err(error) => {
                runner.machine.not_written(keys);
                runner.audits = audits;
                Err(error)
            }
        }
    }

    /// Writes it, and gives it back with how that ended.
    pub(crate) fn write(mut self, engine: SharedEngine) -> BoxFuture<(Self, Result<(), StoreError>)> {
        Box::pin(async move {
            for part in std::mem::take(&mut self.parts) {
                if let Err(error) = engine.commit(part).await {
                    return (self, Err(error));
                }
            }
            (self, Ok(()))
        })
    }
}

fn parts(runner: &Runner, keys: &[Arc<str>], audits: &[RowOp], saved: &Saved) -> Result<Vec<Write>, StoreError> {
    let at = runner.ports.clock.wall();
    let lanes = keys
        .iter()
        .map(|key| lane_row(&runner.name, key, runner.machine.lanes.get(key), at));
    // Audits go with the first part: what was done is never durable without who did it.
    let mut parts = cut(audits.iter().cloned().map(Ok).chain(lanes))?;
    let last = saved.row(&runner.config.name, at)?;
    match parts.last_mut() {
        Some(part) => part.rows.push(last),
        None => parts.push(Write {
            rows: vec![last],
            ..Write::default()
        }),
    }
    Ok(parts)
}

fn cut(rows: impl Iterator<Item = Result<RowOp, StoreError>>) -> Result<Vec<Write>, StoreError> {
    let (mut parts, mut bytes) = (Vec::<Write>::new(), 0);
    for row in rows {
        let row = row?;
        let size = match &row {
            RowOp::Put(_, row) => row.body.len(),
            RowOp::Delete(..) => 0,
        };
        let full = |part: &Write| part.rows.len() >= PART.0 || bytes + size > PART.1;
        if parts.last().is_none_or(full) {
            parts.push(Write::default());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.rows.push(row);
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ondol_core::clock::Timestamp;
    use ondol_core::engine::{Row, Table};

    fn row(size: usize) -> Result<RowOp, StoreError> {
        Ok(RowOp::Put(
            Table::Delivery,
            Row {
                key: "k".into(),
                state: String::new(),
                name: String::new(),
                detail: String::new(),
                wake_at: None,
                updated_at: Timestamp(0),
                body: Bytes::from(vec![0; size]),
            },
        ))
    }

    #[test]
    fn parts_are_bounded_by_rows_and_by_bytes() {
        let sizes = |rows: Vec<usize>| {
            let parts = cut(rows.into_iter().map(row)).expect("cut");
            parts.iter().map(|part| part.rows.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(vec![]), [0; 0]);
        assert_eq!(sizes(vec![10; 2_001]), [1_000, 1_000, 1]);
        assert_eq!(sizes(vec![400 << 10; 5]), [2, 2, 1]);
        assert_eq!(sizes(vec![3 << 20, 1]), [1, 1], "one that is larger alone");
    }
}
