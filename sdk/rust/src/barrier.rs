//! The barrier: one table, in the participant's own database, written in the transaction of the effect.
//!
//! Insert first, ask afterwards. A row `(saga, step, op)` is the slot of one operation; whoever inserts it owns it. An
//! action takes its slot. A compensation takes the *action's* slot too, so that an action which never came can never
//! come later; then it takes its own.
//!
//! | who comes | finds | does |
//! |---|---|---|
//! | action | nothing | the effect |
//! | action again | its own row | gives the stored answer |
//! | action after its compensation | the slot taken by `compensate` | nothing, 409 |
//! | compensation | the action's row with a stored 2xx | undoes it |
//! | compensation | no action, or one that was refused | nothing, 200 |
//! | compensation again | its own row | gives the stored answer |
//!
//! What must hold
//! - The row and the effect commit together, or neither. On SQLite the transaction begins with `BEGIN IMMEDIATE`.
//! - A compensation always does *both* inserts: one that stops after the first, or undoes an action whose stored answer
//!   is a refusal, prints money when it is repeated.
//! - A definite failure (400, 409, 422) of an action that can be compensated, or of a pivot, is stored like a success, so
//!   that every later attempt hears the same. A *retriable* step or a compensation that fails stores nothing: roll the
//!   transaction back, so that the next try is a first one again. The same goes for every 5xx.
//! - Nothing selects before it inserts: `SELECT … FOR UPDATE` first deadlocks on the gap where the row will be.
//!
//! Rows are kept as long as a saga's start key can be repeated; nothing here deletes them.

use crate::{Answer, Connection, Operation, SagaKey};

/// The table. Run it at start ([`create`]) or put it into the service's migrations; it is the same on both databases.
pub const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS ondol_barrier (
    saga    TEXT NOT NULL,
    step    TEXT NOT NULL,
    op      TEXT NOT NULL, -- whose slot: action or compensate
    by_op   TEXT NOT NULL, -- who took it
    attempt TEXT NOT NULL, -- <epoch>.<n> of the one that took it
    status  BIGINT,        -- the answer, once there is one
    answer  TEXT,
    PRIMARY KEY (saga, step, op)
)";

/// What an action finds.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// Nothing has happened yet: do the effect, then [`store`] the answer, then commit.
    First,
    /// It has been done or refused before: give this answer.
    Duplicate(Answer),
    /// The compensation was here first: do nothing and give [`Answer::late`].
    Late,
}

/// What a compensation finds.
#[derive(Clone, PartialEq, Debug)]
pub enum Undo {
    /// The action took effect: undo it, [`store`] the answer, commit.
    Needed,
    /// There is nothing to undo: [`store`] a 200, commit. The commit matters: it closes the action's slot.
    NotNeeded,
    /// Undone before: give this answer.
    Duplicate(Answer),
}

/// Why the barrier could not be asked. Roll back and answer 500 or 503: the saga tries again.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// The database refused.
    #[error("the barrier's table could not be used")]
    Database(#[from] sqlx::Error),
    /// A row was committed without [`store`]: a mistake in the handler, since what to answer now is unknown.
    #[error("step {0} was committed without an answer: the handler must call barrier::store before it commits")]
    NoAnswer(String),
    /// A handler for doing got a key for undoing, or the other way round.
    #[error("the key {0} is for the other operation")]
    WrongOperation(String),
    /// [`store`] without an [`action`] or [`compensation`] before it in the transaction.
    #[error("step {0} has no row to keep its answer in: call barrier::action or barrier::compensation first")]
    NotEntered(String),
    /// The stored answer is not what [`store`] writes.
    #[error("the stored answer of step {key} cannot be read")]
    Unreadable {
        /// Whose.
        key: String,
        /// The parser's word.
        source: serde_json::Error,
    },
}

/// A slot, as read.
#[doc(hidden)]
#[derive(Debug)]
pub struct Row {
    pub(crate) by_op: String,
    pub(crate) answer: Option<(i64, String)>,
}

/// Makes the table where it is missing.
///
/// # Errors
/// The database's.
pub async fn create(connection: &mut impl Connection) -> Result<(), sqlx::Error> {
    connection.run(SCHEMA).await
}

/// Enters an action. Two statements at most; on PostgreSQL it waits for another transaction that holds the same slot.
///
/// # Errors
/// [`BarrierError`]; roll back.
pub async fn action(tx: &mut impl Connection, key: &SagaKey) -> Result<Entry, BarrierError> {
    expect(key, Operation::Action)?;
    if claim(tx, key, Operation::Action).await? {
        return Ok(Entry::First);
    }
    match read(tx, key, Operation::Action).await? {
        row if row.by_op == Operation::Action.as_str() => Ok(Entry::Duplicate(stored(key, row)?)),
        _ => Ok(Entry::Late),
    }
}

/// Enters a compensation: always both inserts, three statements at most.
///
/// # Errors
/// [`BarrierError`]; roll back.
pub async fn compensation(tx: &mut impl Connection, key: &SagaKey) -> Result<Undo, BarrierError> {
    expect(key, Operation::Compensate)?;
    claim(tx, key, Operation::Action).await?;
    if !claim(tx, key, Operation::Compensate).await? {
        return Ok(Undo::Duplicate(stored(
            key,
            read(tx, key, Operation::Compensate).await?,
        )?));
    }
    let row = read(tx, key, Operation::Action).await?;
    let done = row
        .answer
        .as_ref()
        .is_some_and(|(status, _)| (200..300).contains(status));
    Ok(if row.by_op == Operation::Action.as_str() && done {
        Undo::Needed
    } else {
        Undo::NotNeeded
    })
}

/// Keeps the answer of the operation that `key` names, in the row that it has entered in this transaction.
///
/// # Errors
/// [`BarrierError::Database`], [`BarrierError::NotEntered`]; roll back.
pub async fn store(tx: &mut impl Connection, key: &SagaKey, answer: &Answer) -> Result<(), BarrierError> {
    let id = [key.saga(), key.step(), key.operation().as_str()];
    if tx.keep(id, i64::from(answer.status), answer.body.to_string()).await? {
        return Ok(());
    }
    Err(BarrierError::NotEntered(key.to_string()))
}

fn expect(key: &SagaKey, operation: Operation) -> Result<(), BarrierError> {
    if key.operation() == operation {
        Ok(())
    } else {
        Err(BarrierError::WrongOperation(key.to_string()))
    }
}

async fn claim(tx: &mut impl Connection, key: &SagaKey, slot: Operation) -> Result<bool, sqlx::Error> {
    let id = [key.saga(), key.step(), slot.as_str()];
    tx.claim(id, key.operation().as_str(), key.attempt().to_string()).await
}

async fn read(tx: &mut impl Connection, key: &SagaKey, slot: Operation) -> Result<Row, BarrierError> {
    let row = tx.read([key.saga(), key.step(), slot.as_str()]).await?;
    // The insert before this found the row there, and nothing deletes it.
    Ok(row.ok_or(sqlx::Error::RowNotFound)?)
}

fn stored(key: &SagaKey, row: Row) -> Result<Answer, BarrierError> {
    let (status, text) = row.answer.ok_or_else(|| BarrierError::NoAnswer(key.to_string()))?;
    let body = serde_json::from_str(&text).map_err(|source| BarrierError::Unreadable {
        key: key.to_string(),
        source,
    })?;
    Ok(Answer {
        status: u16::try_from(status).unwrap_or(500),
        body,
    })
}
