//! An outbox in a service's PostgreSQL database: read, and what is relayed is deleted.
//!
//! A number of `bigserial` is given before its transaction commits, so a lower one may appear after a higher one: there is
//! no cursor, what is there is what is to be relayed. Rows of one key keep their order where the service's transactions on
//! one key come one after another, as they do when each locks the row that it changes before it writes its event.

use super::row::{LARGEST, LONGEST_TEXT, OutboxRow};
use super::source::{BYTES, Batch, ROWS, SourceError};
use futures_util::TryStreamExt;
use ondol_core::task::{Kind, Tasks};
use std::pin::pin;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Config, NoTls, Row};

const CONNECT: Duration = Duration::from_secs(5);
/// For one answer; a server that hangs must not hold the loop.
const ANSWER: Duration = Duration::from_secs(10);
/// The server gives up before that by itself. It would not notice that nobody listens any more: a statement that waits for
/// a lock would keep its process for as long as the lock is held, and each new try one more.
const STATEMENT: Duration = Duration::from_secs(9);
/// Rows that are counted at most.
const COUNTED: i64 = 100_000;

/// A database that may answer or not.
pub(crate) struct Postgres {
    url: String,
    tasks: Tasks,
    open: Option<Open>,
}

/// A connection and the task that drives it.
struct Open {
    client: Client,
    driver: AbortHandle,
}

/// At once, also where the server still owes an answer.
impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Postgres {
    pub(crate) fn new(url: &str, tasks: Tasks) -> Self {
        let (url, open) = (url.to_owned(), None);
        Self { url, tasks, open }
    }

    pub(crate) async fn next(&mut self, left: &[u64]) -> Result<Batch, SourceError> {
        // Of what is too large the server sends no more than tells so.
        let read = format!(
            "SELECT seq::bigint, left(id::text, {long}), left(type::text, {long}), left(key::text, {long}),
                left(source::text, {long}), left(subject::text, {long}), left(data::text, {most}), left(headers::text, {most}),
                to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
             FROM ondol_outbox WHERE NOT (seq = ANY($1)) ORDER BY seq LIMIT {ROWS}",
            long = LONGEST_TEXT + 1,
            most = LARGEST + 1,
        );
        let left = signed(left);
        self.ask(async |client| {
            let (mut found, mut bytes) = (Batch::default(), 0);
            let mut rows = pin!(client.query_raw(&read, [&left]).await?);
            while bytes < BYTES
                && let Some(row) = rows.try_next().await?
            {
                let row = outbox_row(&row)?.bounded();
                bytes += row.weight();
                found.rows.push(row);
            }
            found.more = bytes >= BYTES || found.rows.len() >= ROWS;
            Ok(found)
        })
        .await
    }

    pub(crate) async fn delete(&mut self, seqs: &[u64]) -> Result<(), SourceError> {
        let seqs = signed(seqs);
        self.ask(async |client| {
            client
                .execute("DELETE FROM ondol_outbox WHERE seq = ANY($1)", &[&seqs])
                .await?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn pending(&mut self, left: &[u64]) -> Result<u64, SourceError> {
        let left = signed(left);
        let count = "SELECT count(*) FROM (SELECT 1 FROM ondol_outbox WHERE NOT (seq = ANY($1)) LIMIT $2) AS counted";
        self.ask(async |client| {
            let count: i64 = client.query_one(count, &[&left, &COUNTED]).await?.try_get(0)?;
            Ok(count.unsigned_abs())
        })
        .await
    }

    /// Asks on the connection, or on a new one. After an error the next question begins with a new one.
    async fn ask<T>(&mut self, ask: impl AsyncFnOnce(&Client) -> Result<T, SourceError>) -> Result<T, SourceError> {
        let open = match self.open.take().filter(|open| !open.client.is_closed()) {
            Some(open) => open,
            None => self.connect().await?,
        };
        let answer = tokio::time::timeout(ANSWER, ask(&open.client)).await;
        let answer = answer.map_err(|_| SourceError::Ended)??;
        self.open = Some(open);
        Ok(answer)
    }

    async fn connect(&self) -> Result<Open, SourceError> {
        // The client's own words would hold the address, and that a password.
        let unreadable = |_| SourceError::Address("after postgres: comes //user:password@host:port/database".into());
        let mut config: Config = self.url.parse().map_err(unreadable)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.application_name("ondol relay");
        // What the address says comes later and counts.
        let own = config.get_options().unwrap_or_default();
        config.options(format!("-c statement_timeout={} {own}", STATEMENT.as_millis()));
        let (client, connection) = config.connect(NoTls).await?;
        // Its error is the next question's too.
        let driver = self.tasks.spawn(Kind::Events, async move { drop(connection.await) });
        let driver = driver.abort_handle();
        Ok(Open { client, driver })
    }
}

fn outbox_row(row: &Row) -> Result<OutboxRow, tokio_postgres::Error> {
    let text = |column: usize| row.try_get::<_, Option<String>>(column);
    Ok(OutboxRow {
        seq: row.try_get::<_, i64>(0)?.unsigned_abs(),
        id: text(1)?.unwrap_or_default(),
        kind: text(2)?.unwrap_or_default(),
        key: text(3)?,
        source: text(4)?,
        subject: text(5)?,
        data: text(6)?.unwrap_or_default(),
        headers: text(7)?.unwrap_or_else(|| "{}".into()),
        created: text(8)?,
        cut: None,
    })
}

fn signed(seqs: &[u64]) -> Vec<i64> {
    seqs.iter().map(|seq| seq.cast_signed()).collect()
}
