//! One life of the writing connection: begun by raising the session number, ended by the first error of any kind.
//!
//! Whatever fails, the session is dropped and another begun; so no code has to know in which state a failed transaction
//! left the connection.

use super::batch::Batch;
use super::facts::{Known, Wanted};
use super::read::{event_place_from, row_from};
use super::{fault, server};
use crate::decide::{Heads, decide};
use crate::error::OpenError;
use ondol_core::engine::{Committed, StoreError, Write};
use ondol_core::fault::pass;
use ondol_core::id::StreamName;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

/// Locks the meta row against a take-over until the transaction ends; fails by dividing by zero when it was taken over,
/// so that whatever is sent behind it in the same round trip fails with it.
const FENCE: &str = "SELECT 1 / count(*) FROM
    (SELECT 1 FROM ondol.meta WHERE epoch = $1 AND session = $2 FOR SHARE) AS held";
const RECORDS: &str = "INSERT INTO ondol.record (position, subject, kind, at, body)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])";
const PUTS: &str = "INSERT INTO ondol.state_row (tab, key, state, name, detail, wake_at, updated_at, body)
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
        $8::bytea[])
    ON CONFLICT (tab, key) DO UPDATE SET state = excluded.state, name = excluded.name, detail = excluded.detail,
        wake_at = excluded.wake_at, updated_at = excluded.updated_at, body = excluded.body";
const DELETES: &str = "DELETE FROM ondol.state_row USING unnest($1::smallint[], $2::text[]) AS gone (tab, key)
    WHERE state_row.tab = gone.tab AND state_row.key = gone.key";
const EVENTS: &str =
    "INSERT INTO ondol.event (position, stream, revision, rest, family, id, kind, at, body, correlation)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
        $8::bigint[], $9::bytea[], $10::text[])";
const KINDS: &str = "INSERT INTO ondol.kind (kind, events, last_position, last_at)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
    ON CONFLICT (kind) DO UPDATE SET events = kind.events + excluded.events,
        last_position = excluded.last_position, last_at = excluded.last_at";
const ROWS: &str = "SELECT key, state, name, detail, wake_at, updated_at, body, tab
    FROM unnest($1::smallint[], $2::text[]) AS wanted (tab, key) JOIN ondol.state_row USING (tab, key)";
const REVISIONS: &str = "SELECT wanted.stream, last.revision FROM unnest($1::text[]) AS wanted (stream), LATERAL
    (SELECT revision FROM ondol.event WHERE event.stream = wanted.stream ORDER BY revision DESC LIMIT 1) AS last";
const PLACES: &str = "SELECT id, stream, revision, position, rest
    FROM unnest($1::text[]) AS wanted (id) JOIN ondol.event USING (id)";

struct Statements {
    fence: Statement,
    records: Statement,
    puts: Statement,
    deletes: Statement,
    events: Statement,
    kinds: Statement,
    rows: Statement,
    revisions: Statement,
    places: Statement,
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            fence: client.prepare(FENCE).await?,
            records: client.prepare(RECORDS).await?,
            puts: client.prepare(PUTS).await?,
            deletes: client.prepare(DELETES).await?,
            events: client.prepare(EVENTS).await?,
            kinds: client.prepare(KINDS).await?,
            rows: client.prepare(ROWS).await?,
            revisions: client.prepare(REVISIONS).await?,
            places: client.prepare(PLACES).await?,
        })
    }
}

/// Why a session did not begin.
pub(super) enum BeginError {
    Server(Error),
    /// The store's epoch is another.
    Fenced(u64),
}

impl From<Error> for BeginError {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

/// Why a batch failed.
pub(super) enum BatchError {
    /// The store was taken over; its epoch, where the server was asked for it.
    Fenced(Option<u64>),
    /// Sorted by `fault.rs`.
    Store(StoreError),
}

impl From<Error> for BatchError {
    fn from(error: Error) -> Self {
        if fault::is_fence(&error) {
            Self::Fenced(None)
        } else {
            Self::Store(fault::sort(&error))
        }
    }
}

/// A connection that may write.
pub(super) struct Session {
    client: Client,
    epoch: i64,
    session: i64,
    heads: Heads,
    statements: Statements,
}

impl Session {
    /// Shuts every earlier session of this epoch out (waiting for its transaction in flight), then reads the heads.
    pub(super) async fn begin(client: Client, epoch: u64) -> Result<Self, BeginError> {
        let mine = epoch.cast_signed();
        let raise = "UPDATE ondol.meta SET session = session + 1 WHERE epoch = $1 RETURNING session";
        let Some(row) = client.query_opt(raise, &[&mine]).await? else {
            return Err(BeginError::Fenced(current_epoch(&client).await?));
        };
        let session = row.try_get(0)?;
        let heads = "SELECT (SELECT coalesce(max(position), 0) FROM ondol.record),
            (SELECT coalesce(max(position), 0) FROM ondol.event)";
        let row = client.query_one(heads, &[]).await?;
        let head = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
        let heads = Heads {
            record: head(0)?,
            event: head(1)?,
        };
        let statements = Statements::prepare(&client).await?;
        Ok(Self {
            client,
            epoch: mine,
            session,
            heads,
            statements,
        })
    }

    /// Like [`Session::begin`] on a new connection.
    pub(super) async fn again(server: &server::Server, epoch: u64) -> Result<Self, BatchError> {
        let unavailable = |error: Error| BatchError::Store(StoreError::Unavailable(fault::text(&error)));
        let client = server.connect().await.map_err(unavailable)?;
        match server::refuse_unsafe(&client).await {
            Ok(()) => {}
            Err(OpenError::Unsafe(reason)) => return Err(BatchError::Store(StoreError::Broken(reason))),
            Err(error) => return Err(BatchError::Store(StoreError::Unavailable(error.to_string()))),
        }
        Self::begin(client, epoch).await.map_err(|error| match error {
            BeginError::Server(error) => unavailable(error),
            BeginError::Fenced(current) => BatchError::Fenced(Some(current)),
        })
    }

    /// The store's epoch as the server has it now. Ends the transaction that found itself fenced.
    pub(super) async fn current_epoch(&self) -> Result<u64, Error> {
        self.client.batch_execute("ROLLBACK").await?;
        current_epoch(&self.client).await
    }

    /// One batch in one transaction: one round trip where no write asks for anything, else two.
    pub(super) async fn write(&mut self, writes: &[&Write]) -> Result<Vec<Result<Committed, StoreError>>, BatchError> {
        let wanted = Wanted::of(writes.iter().copied());
        let begun = !wanted.is_empty();
        let mut known = if begun {
            self.look_up(&wanted).await?
        } else {
            Known::default()
        };
        let mut heads = self.heads;
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            let Ok(outcome) = decide(write, &mut heads, &mut known);
            if let Ok(committed) = &outcome {
                known.accept(write, committed);
            }
            outcomes.push(outcome);
        }
        let accepted = writes
            .iter()
            .zip(&outcomes)
            .filter_map(|(write, outcome)| Some((*write, outcome.as_ref().ok()?)));
        let batch = Batch::of(accepted);
        let injected = |_| BatchError::Store(StoreError::Unavailable("a fault was injected".into()));
        pass("store.commit.before").map_err(injected)?;
        if begun || !batch.is_empty() {
            self.send(&batch, begun).await?;
        }
        pass("store.commit.after").map_err(injected)?;
        self.heads = heads;
        Ok(outcomes)
    }

    async fn begin_transaction(&self) -> Result<(), Error> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.epoch, &self.session];
        let begin = self.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED");
        let (begun, fenced) = tokio::join!(biased; begin, self.client.query(&self.statements.fence, &params));
        begun?;
        fenced.map(drop)
    }

    async fn look_up(&self, wanted: &Wanted<'_>) -> Result<Known, BatchError> {
        let statements = &self.statements;
        let guards: [&(dyn ToSql + Sync); 2] = [&wanted.tab, &wanted.key];
        let (streams, ids): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 1]) = ([&wanted.streams], [&wanted.ids]);
        let (begun, rows, revisions, places) = tokio::join!(
            biased;
            self.begin_transaction(),
            self.client.query(&statements.rows, &guards),
            self.client.query(&statements.revisions, &streams),
            self.client.query(&statements.places, &ids),
        );
        begun?;
        let mut known = Known::default();
        for (tab, key) in wanted.tab.iter().zip(&wanted.key) {
            known.rows.insert((*tab, (*key).to_owned()), None);
        }
        for row in &rows? {
            let (tab, found) = (row.try_get("tab")?, row_from(row)?);
            known.rows.insert((tab, found.key.clone()), Some(found));
        }
        for row in &revisions? {
            let stream = StreamName::new(row.try_get(0)?)
                .map_err(|error| BatchError::Store(StoreError::Broken(error.to_string())))?;
            known
                .revisions
                .insert(stream, row.try_get::<_, i64>(1)?.cast_unsigned());
        }
        for row in &places? {
            let (id, place) = event_place_from(row).map_err(BatchError::Store)?;
            known.places.insert(id, place);
        }
        Ok(known)
    }

    /// Sends the whole transaction without waiting in between. The server runs it in order; after a first error it runs
    /// nothing more and turns COMMIT into ROLLBACK, so the first error is the cause and none means committed.
    async fn send(&self, batch: &Batch<'_>, begun: bool) -> Result<(), Error> {
        let Batch {
            records: r,
            puts: p,
            deletes: d,
            events: e,
            kinds: k,
        } = batch;
        let begin = async { if begun { Ok(()) } else { self.begin_transaction().await } };
        let records = self.insert(
            &self.statements.records,
            [&r.position, &r.subject, &r.kind, &r.at, &r.body],
            r.position.is_empty(),
        );
        let puts = self.insert(
            &self.statements.puts,
            [
                &p.tab,
                &p.key,
                &p.state,
                &p.name,
                &p.detail,
                &p.wake_at,
                &p.updated_at,
                &p.body,
            ],
            p.key.is_empty(),
        );
        let deletes = self.insert(&self.statements.deletes, [&d.tab, &d.key], d.key.is_empty());
        let events = self.insert(
            &self.statements.events,
            [
                &e.position,
                &e.stream,
                &e.revision,
                &e.rest,
                &e.family,
                &e.id,
                &e.kind,
                &e.at,
                &e.body,
                &e.correlation,
            ],
            e.position.is_empty(),
        );
        let kinds = self.insert(
            &self.statements.kinds,
            [&k.kind, &k.events, &k.last_position, &k.last_at],
            k.kind.is_empty(),
        );
        let commit = self.client.batch_execute("COMMIT");
        let (begin, records, puts, deletes, events, kinds, commit) =
            tokio::join!(biased; begin, records, puts, deletes, events, kinds, commit);
        begin
            .and(records)
            .and(puts)
            .and(deletes)
            .and(events)
            .and(kinds)
            .and(commit)
    }

    async fn insert<const N: usize>(
        &self,
        statement: &Statement,
        columns: [&(dyn ToSql + Sync); N],
        empty: bool,
    ) -> Result<(), Error> {
        if empty {
            Ok(())
        } else {
            self.client.execute(statement, &columns).await.map(drop)
        }
    }
}

async fn current_epoch(client: &Client) -> Result<u64, Error> {
    let row = client.query_one("SELECT epoch FROM ondol.meta", &[]).await?;
    Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
}
