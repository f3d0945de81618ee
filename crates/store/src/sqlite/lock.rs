//! One process owns the file: an exclusive lock on `PATH-lock`, given up by the kernel when the process dies.
//!
//! A file of its own, because SQLite locks ranges of the database itself and any close of it by this process would drop
//! those. The lock file stays: taking it away would let a third process lock a file that a second still waits for.

use super::private;
use crate::error::OpenError;
use std::fs::{File, TryLockError};
use std::path::Path;

/// Holds the lock until it is dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        let mut path = database.as_os_str().to_owned();
        path.push("-lock");
        let file = |source| OpenError::File {
            path: path.clone().into(),
            source,
        };
        let held = private().create(true).truncate(false).open(&path).map_err(file)?;
        match held.try_lock() {
            Ok(()) => Ok(Self(held)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(database.to_owned())),
            Err(TryLockError::Error(source)) => Err(file(source)),
        }
    }
}
