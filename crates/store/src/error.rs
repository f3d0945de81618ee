//! Why a store could not be opened. What an open store refuses is [`ondol_core::engine::StoreError`].

use ondol_core::error::ErrorCode;
use std::path::PathBuf;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address names no store. It is not repeated: it may hold a password.
    #[error("the store's address cannot be read: {rule}")]
    Address {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Another process has the file open.
    #[error("{} belongs to another process", .0.display())]
    Locked(PathBuf),
    /// A later version of this program wrote it.
    #[error("the store has schema version {found}; this program knows versions up to {known}")]
    Newer {
        /// The store's version.
        found: i64,
        /// The last one known here.
        known: i64,
    },
    /// It is a database of something else.
    #[error("{0} holds tables that are not Ondol's")]
    Foreign(String),
    /// The server's settings or version would lose acknowledged writes.
    #[error("the database server cannot be trusted with acknowledged writes: {0}")]
    Unsafe(String),
    /// A file or folder could not be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot open the SQLite store")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL refused or could not be reached.
    #[error("cannot open the PostgreSQL store")]
    Postgres(#[from] tokio_postgres::Error),
}

impl OpenError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Address { .. } => ErrorCode::new("ST-011"),
            Self::Locked(_) => ErrorCode::new("ST-012"),
            Self::Newer { .. } => ErrorCode::new("ST-013"),
            Self::Foreign(_) => ErrorCode::new("ST-014"),
            Self::Unsafe(_) => ErrorCode::new("ST-015"),
            Self::File { .. } | Self::Sqlite(_) | Self::Postgres(_) => ErrorCode::new("ST-016"),
        }
    }
}
