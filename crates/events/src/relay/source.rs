//! Reading an outbox, whichever database it is in.

use super::postgres::Postgres;
use super::row::OutboxRow;
use super::sqlite::Sqlite;
use ondol_core::error::ErrorCode;
use ondol_core::task::Tasks;

/// Rows of one batch.
pub(crate) const ROWS: usize = 1_000;
/// Their bytes; one row is always taken.
pub(crate) const BYTES: usize = 2 << 20;

/// Rows that were read, by rising `seq`.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<OutboxRow>,
    /// A bound ended it: there is more.
    pub(crate) more: bool,
    /// Which file it was, and the highest `seq` that it ever gave. A server needs neither: what is relayed is deleted.
    pub(crate) file: Option<(String, u64)>,
}

/// Why an outbox could not be read; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("the address of the database cannot be read: {0}")]
    Address(String),
    #[error("there is no file {0}")]
    Missing(String),
    #[error("the table ondol_outbox: {0}")]
    Shape(String),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("{}", postgres_words(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("its reader has ended")]
    Ended,
}

impl SourceError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub(crate) const fn code(&self) -> ErrorCode {
        ErrorCode::new("EV-030")
    }
}

/// The server's own words: the client's error says only that there are some.
fn postgres_words(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(told), _) => told.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

/// Where rows come from.
pub(crate) enum Source {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Source {
    pub(crate) fn new(database: &str, tasks: Tasks) -> Self {
        match database.strip_prefix("sqlite:") {
            Some(path) => Self::Sqlite(Sqlite::new(path.strip_prefix("//").unwrap_or(path))),
            None => Self::Postgres(Postgres::new(database, tasks)),
        }
    }

    /// Rows that are not relayed, but those of `left`.
    pub(crate) async fn next(&mut self, after: u64, left: &[u64]) -> Result<Batch, SourceError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.next(after).await,
            Self::Postgres(postgres) => postgres.next(left).await,
        }
    }

    /// These rows are relayed.
    pub(crate) async fn relayed(&mut self, seqs: &[u64]) -> Result<(), SourceError> {
        match self {
            Self::Postgres(postgres) if !seqs.is_empty() => postgres.delete(seqs).await,
            _ => Ok(()),
        }
    }

    /// How many rows are not relayed, as far as it counts.
    pub(crate) async fn pending(&mut self, after: u64, left: &[u64]) -> Result<u64, SourceError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.pending(after).await,
            Self::Postgres(postgres) => postgres.pending(left).await,
        }
    }
}
