//! What an error of SQLite means for the store.

use ondol_core::engine::StoreError;
use rusqlite::ffi::{SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE, sqlite3_system_errno};
use rusqlite::{Connection, ErrorCode};
use std::io::ErrorKind;

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

/// Sorts an error that `connection` has just met in writing. SQLite calls a disk full where the system says ENOSPC, but
/// not where it says EDQUOT: a quota that is used up passes as well, and nothing was written either.
pub(super) fn sort_write(connection: &Connection, error: &rusqlite::Error) -> StoreError {
    let refused = error
        .sqlite_error()
        .is_some_and(|failure| failure.extended_code == SQLITE_IOERR_WRITE);
    if refused && last_os_error(connection).kind() == ErrorKind::QuotaExceeded {
        return StoreError::Full;
    }
    sort(error)
}

/// What the system said when the last call of `connection` failed in it.
#[expect(unsafe_code, reason = "rusqlite gives SQLite's errno in no other way")]
fn last_os_error(connection: &Connection) -> std::io::Error {
    // SAFETY: the handle is open as long as `connection` is borrowed, nobody else uses it meanwhile (a connection is not
    // `Sync`), and it is only asked for a number.
    std::io::Error::from_raw_os_error(unsafe { sqlite3_system_errno(connection.handle()) })
}
