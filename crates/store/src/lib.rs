//! The only durable state of the platform: one store behind the [`Engine`](ondol_core::engine::Engine) port.
//!
//! [`open`] picks the engine by the address: `sqlite:PATH` (one file, one process) or `postgres://…` (one owner at a
//! time, fenced by its epoch). Both keep the same logical schema and decide alike: `decide.rs` is the one place that
//! says whether a write may happen and which positions it gets; the engines only look facts up and write down.
//!
//! Invariants
//! - A write is acknowledged after its commit is durable, never before; after a failed fsync nothing is acknowledged.
//! - Only the writer (one thread, one connection) changes anything, so positions are dense without locks.
//! - Queues, batches, writes and pages of reads are bounded: [`Config`], `bounds.rs`.
//!
//! Not here: what the bodies mean (each room versions its own), replication, sharding.
//! Tests: `tests/conformance` and `tests/kill.rs` (both engines), `tests/sqlite.rs`, `tests/postgres.rs`,
//! `tests/powercut.rs` (a disk that forgets what was not synced). How fast: `examples/commits.rs`.

mod bounds;
mod config;
mod decide;
mod error;
mod postgres;
mod queue;
mod sqlite;
mod tally;

pub use config::Config;
pub use error::OpenError;

use ondol_core::clock::SharedClock;
use ondol_core::engine::SharedEngine;
use ondol_core::entropy::SharedEntropy;
use std::path::PathBuf;
use std::sync::Arc;

/// Opens the store at `url` with the default [`Config`].
///
/// # Errors
/// See [`open_with`].
pub async fn open(url: &str, clock: SharedClock, entropy: SharedEntropy) -> Result<SharedEngine, OpenError> {
    open_with(url, Config::default(), clock, entropy).await
}

/// Opens the store at `url`, creating or migrating its tables, and raises its epoch.
///
/// `sqlite:PATH` (relative to the working directory) and `sqlite:///PATH` name a file whose folder exists;
/// `postgres://` and `postgresql://` a database. `clock` times slow batches for the
/// log, `entropy` spreads reconnects. Needs a tokio runtime with time that lives as long as the engine.
///
/// # Errors
/// [`OpenError`]: the address cannot be read, somebody else owns the store, it is newer than this program, or unsafe.
pub async fn open_with(
    url: &str,
    config: Config,
    clock: SharedClock,
    entropy: SharedEntropy,
) -> Result<SharedEngine, OpenError> {
    match Target::parse(url)? {
        Target::Sqlite(path) => Ok(Arc::new(sqlite::SqliteEngine::open(path, &config, clock).await?)),
        Target::Postgres => Ok(Arc::new(
            postgres::PostgresEngine::open(url, &config, clock, entropy).await?,
        )),
    }
}

/// What an address names.
#[derive(PartialEq, Eq, Debug)]
enum Target {
    Sqlite(PathBuf),
    Postgres,
}

impl Target {
    fn parse(url: &str) -> Result<Self, OpenError> {
        let bad = |rule| OpenError::Address { rule };
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(bad("it has no scheme"));
        };
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path.contains(['?', '\0']) || path == ":memory:" {
                    return Err(bad("after sqlite: comes the path of a file"));
                }
                Ok(Self::Sqlite(path.into()))
            }
            "postgres" | "postgresql" => Ok(Self::Postgres),
            _ => Err(bad("the scheme is sqlite: or postgres:")),
        }
    }
}
