//! What an error of SQLite means for the store.

use ondol_core::engine::StoreError;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// Sorts an error of the writer or a reader. [`StoreError::Broken`] from the writer ends the store's life.
pub(super) fn sort(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return StoreError::Broken(error.to_string());
    };
    match failure.code {
        ErrorCode::DiskFull => StoreError::Full,
        // No space to grow the shared memory of the write-ahead log; nothing of the log itself was lost.
        _ if failure.extended_code == SQLITE_IOERR_SHMSIZE => StoreError::Full,
        // Another program, such as a person's `sqlite3`, holds the file.
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
        _ => StoreError::Broken(error.to_string()),
    }
}
