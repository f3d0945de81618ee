//! A service's own database: a SQLite file or a PostgreSQL database, chosen by `DATABASE_URL`, behind one type.
//!
//! The statements are written once for both: `$1` parameters, `BIGINT` and `TEXT` columns, `ON CONFLICT`, and sums as
//! `CAST(SUM(x) AS BIGINT)` (PostgreSQL's sum is a NUMERIC). sqlx's run-time driver knows these types and few others.
//!
//! What must hold
//! - SQLite has one writer connection, taken with `BEGIN IMMEDIATE`: a transaction that reads first and writes later
//!   would otherwise fail with "busy" in the middle. Readers are beside it and never wait (WAL).
//! - `synchronous=FULL`: what has been answered is on the disk. Also where NORMAL would do, as for a read model that keeps its
//!   position in the same transaction: one fsync for a page of events costs too little for a second rule.
//! - Every wait has an end: for a connection [`WAIT`], for a lock [`LOCK_WAIT_MS`]; both end as a 503.
//! - PostgreSQL runs at READ COMMITTED, so a rule such as "never below zero" stands in the UPDATE's own WHERE, never in a
//!   SELECT before it.
//!
//! Migrations are the service's list of SQL texts, run in order in one transaction each time that the list has grown. One
//! of them is written twice: the outbox counts its rows in the way of each database.

use std::time::Duration;

use ondol_sdk::outbox;
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor};

use crate::{Problem, StartError};

/// A write transaction. Dropped without `commit`, it is rolled back.
pub type Tx = sqlx::Transaction<'static, Any>;

/// Longest wait for a connection.
const WAIT: Duration = Duration::from_secs(5);
/// Longest wait for a lock that another process holds, in milliseconds.
const LOCK_WAIT_MS: u32 = 5_000;
/// Connections that read a SQLite file, or do everything on PostgreSQL.
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;

/// An open database with this version's tables.
#[derive(Clone, Debug)]
pub struct Database {
    writer: AnyPool,
    readers: AnyPool,
    begin: &'static str,
}

impl Database {
    /// Opens the database of `DATABASE_URL` and brings it to these migrations.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn from_env(migrations: &[&'static str]) -> Result<Self, StartError> {
        Self::open(&crate::variable("DATABASE_URL")?, migrations).await
    }

    /// Opens `sqlite:///path` (made where it is missing) or `postgres://…`.
    ///
    /// # Errors
    /// [`StartError::BadVariable`] for another kind of URL, [`StartError::Database`].
    pub async fn open(url: &str, migrations: &[&'static str]) -> Result<Self, StartError> {
        sqlx::any::install_default_drivers();
        let failed = |what| {
            move |source| StartError::Database {
                what,
                url: without_secrets(url),
                source,
            }
        };
        let database = if url.starts_with("sqlite:") {
            Self::sqlite(url).await.map_err(failed("open"))?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::postgres(url).await.map_err(failed("connect to"))?
        } else {
            let (name, expected) = ("DATABASE_URL", "expected sqlite:///path or postgres://host/database");
            return Err(StartError::BadVariable {
                name,
                value: without_secrets(url),
                expected,
            });
        };
        database.migrate(migrations).await.map_err(failed("migrate"))?;
        Ok(database)
    }

    async fn sqlite(url: &str) -> Result<Self, sqlx::Error> {
        let url = if url.contains('?') {
            url.to_owned()
        } else {
            format!("{url}?mode=rwc")
        };
        let writer = sqlite_pool("PRAGMA query_only = OFF", 1).connect(&url).await?;
        let readers = sqlite_pool("PRAGMA query_only = ON", SQLITE_READERS)
            .connect(&url)
            .await?;
        Ok(Self {
            writer,
            readers,
            begin: "BEGIN IMMEDIATE",
        })
    }

    async fn postgres(url: &str) -> Result<Self, sqlx::Error> {
        let pool = AnyPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(WAIT);
        let pool = pool.after_connect(|connection, _| {
            Box::pin(async move {
                let settings = format!("SET lock_timeout = {LOCK_WAIT_MS}; SET statement_timeout = 15000");
                connection
                    .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(settings)))
                    .await
                    .map(drop)
            })
        });
        let pool = pool.connect(url).await?;
        Ok(Self {
            writer: pool.clone(),
            readers: pool,
            begin: "BEGIN",
        })
    }

    /// Whether it is a PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        self.begin == "BEGIN"
    }

    /// Begins a write. On SQLite this waits for the one writer.
    ///
    /// # Errors
    /// 503 after [`WAIT`], or when the database is away.
    pub async fn write(&self) -> Result<Tx, Problem> {
        Ok(self.writer.begin_with(self.begin).await?)
    }

    /// For queries outside a write; each sees what was committed before it began.
    pub fn read(&self) -> &AnyPool {
        &self.readers
    }

    /// Runs the migrations that are new, under a lock that other starting instances wait for.
    async fn migrate(&self, migrations: &[&'static str]) -> Result<(), sqlx::Error> {
        let mut tx = self.writer.begin_with(self.begin).await?;
        if self.is_postgres() {
            // Any number will do, as long as all versions of the shop use the same one.
            sqlx::query("SELECT pg_advisory_xact_lock(7305107)")
                .execute(&mut *tx)
                .await?;
        }
        let table = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)";
        sqlx::query(table).execute(&mut *tx).await?;
        let newest = sqlx::query_scalar::<_, Option<i64>>("SELECT MAX(version) FROM schema_version");
        let newest = newest.fetch_one(&mut *tx).await?.unwrap_or(0);
        for (version, sql) in (1_i64..).zip(migrations).filter(|(version, _)| *version > newest) {
            let sql = match *sql {
                outbox::SQLITE if self.is_postgres() => outbox::POSTGRES,
                sql => sql,
            };
            tx.execute(sqlx::raw_sql(sql)).await?;
            let insert = sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(version);
            insert.execute(&mut *tx).await?;
        }
        tx.commit().await
    }
}

fn sqlite_pool(mode: &'static str, connections: u32) -> AnyPoolOptions {
    let pool = AnyPoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .acquire_timeout(WAIT);
    // A connection to a file does not go stale; a new one costs the statements that the old one had prepared.
    let pool = pool.idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    let pool = pool.after_release(|connection, _| Box::pin(is_at_rest(connection)));
    pool.after_connect(move |connection, _| Box::pin(set_up(connection, mode)))
}

/// Whether a connection that comes back can be used again. On a full disk or an I/O error SQLite itself ends the
/// transaction; the driver's ROLLBACK then fails, and it would believe for ever that the transaction goes on. Such a
/// connection is closed, else the one writer would never write again, room or no room.
async fn is_at_rest(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    connection.ping().await?; // Behind a ROLLBACK that a dropped transaction has queued.
    Ok(!connection.is_in_transaction())
}

async fn set_up(connection: &mut AnyConnection, mode: &'static str) -> Result<(), sqlx::Error> {
    // The wait first: switching to WAL itself needs a lock that another instance may hold.
    let wait = format!("PRAGMA busy_timeout = {LOCK_WAIT_MS}");
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(wait))).await?;
    for pragma in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        mode,
    ] {
        connection.execute(sqlx::raw_sql(pragma)).await?;
    }
    Ok(())
}

/// `postgres://user:secret@host/db` as `postgres://host/db`.
fn without_secrets(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let rest = rest.split('?').next().unwrap_or_default();
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
        }
        None => url.split('?').next().unwrap_or_default().to_owned(),
    }
}
