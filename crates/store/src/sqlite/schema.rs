//! How a connection is set, and how the file's tables come to their present form.
//!
//! The version is `user_version`; migration N takes the file from version N to N + 1, each in one transaction.
//! Stored forms: `tests/golden/` holds a dump of every released version that later ones must read.

use super::private;
use crate::config::Config;
use crate::error::OpenError;
use rusqlite::{Connection, OpenFlags};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

pub(super) const MIGRATIONS: &[&str] = &[include_str!("v1.sql"), include_str!("v2.sql"), include_str!("v3.sql")];
/// From version 2 to 3 where [`has_flows`].
const FROM_FLOWS: &str = "DROP INDEX state_row_due;";
/// Marks the file as Ondol's: the letters `Ondl`.
const APPLICATION_ID: i64 = 0x4f6e_646c;
/// How long a statement waits for another program that locks the file, such as a person's `sqlite3`.
const BUSY: Duration = Duration::from_secs(5);

/// The one connection that writes. The file is made here when it is not there; one that is there keeps its mode.
pub(super) fn open_writer(path: &Path, config: &Config) -> Result<Connection, OpenError> {
    if config.vfs.is_none() {
        let source = |source| OpenError::File {
            path: path.to_owned(),
            source,
        };
        match private().create_new(true).open(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(source(error)),
            _ => {}
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags, config, config.writer_cache_kib)?;
    refuse_foreign(path, &connection)?;
    // The controller checkpoints by itself: SQLite's own checkpoint after a commit hides a failed fsync.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", "ON")?;
    connection.pragma_update(None, "checkpoint_fullfsync", "ON")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(OpenError::Unsafe(format!(
            "the file system of {} allows no write-ahead log",
            path.display()
        )));
    }
    migrate(&connection)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path, config: &Config) -> Result<Connection, OpenError> {
    // Not read-only to the file system: a reader of a write-ahead log needs its shared memory.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags, config, config.reader_cache_kib)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "query_only", "ON")?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags, config: &Config, cache_kib: u32) -> Result<Connection, OpenError> {
    let connection = match &config.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str())?,
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}

fn refuse_foreign(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == APPLICATION_ID || (application == 0 && tables == 0) {
        return Ok(());
    }
    Err(OpenError::Foreign(path.display().to_string()))
}

fn migrate(connection: &Connection) -> Result<(), OpenError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if !(0..=known).contains(&found) {
        return Err(OpenError::Newer { found, known });
    }
    for (version, sql) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        let sql = if version == 2 && has_flows(connection)? {
            FROM_FLOWS
        } else {
            sql
        };
        let marks = format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};",
            version + 1
        );
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {sql} {marks} COMMIT;"))?;
    }
    Ok(())
}

/// Builds between two versions wrote all that is version 3 now, and an index that nothing uses, as their version 2.
fn has_flows(connection: &Connection) -> Result<bool, OpenError> {
    let columns = "SELECT count(*) FROM pragma_table_info('event') WHERE name = 'correlation'";
    Ok(connection.query_row(columns, [], |row| row.get::<_, i64>(0))? > 0)
}
