//! What an error of PostgreSQL means for the store.

use ondol_core::engine::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Sorts an error. Whatever the server itself answered to a statement means that its transaction was rolled back; a lost
/// connection leaves it unknown.
pub(super) fn sort(error: &Error) -> StoreError {
    let Some(state) = error.code() else {
        return StoreError::Unavailable(text(error));
    };
    let class = state.code().get(..2).unwrap_or_default();
    match class {
        _ if *state == SqlState::DISK_FULL => StoreError::Full,
        // Out of memory or connections, cancelled by an operator or a time limit, deadlock: it was rolled back.
        "53" | "55" | "40" => StoreError::Busy,
        "57" if *state == SqlState::QUERY_CANCELED => StoreError::Busy,
        // Lost connections, and a server that stops, has crashed or starts.
        "08" | "57" => StoreError::Unavailable(text(error)),
        _ => StoreError::Broken(text(error)),
    }
}

/// True for the error that the fence raises.
pub(super) fn is_fence(error: &Error) -> bool {
    error.code() == Some(&SqlState::DIVISION_BY_ZERO)
}

/// The error with its causes: by itself it says only "db error".
pub(super) fn text(error: &Error) -> String {
    let mut out = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        out = format!("{out}: {error}");
        cause = error.source();
    }
    out
}
