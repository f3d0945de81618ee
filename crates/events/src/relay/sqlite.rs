//! An outbox in a service's SQLite file: read, never written.
//!
//! The connection may write, since only such a one can take part in a WAL that a killed service left behind;
//! `query_only` and no checkpoint at its end keep it from doing so. A read is one short statement, so that the service's
//! writer never waits for it. In SQLite writers come one after another, so `seq` rises in the order of commits and a
//! cursor misses nothing; `AUTOINCREMENT`, which is asked for, keeps a `seq` from being given twice.

use super::row::{LARGEST, OutboxRow};
use super::source::{BYTES, Batch, ROWS, SourceError};
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// A writer with a rollback journal shuts readers out for so long at most; then it is a reason to wait.
const BUSY: Duration = Duration::from_millis(500);
/// Rows that are counted at most.
const COUNTED: u64 = 100_000;
/// Columns that hold text, in the order of [`OutboxRow`].
const TEXTS: [&str; 8] = ["id", "type", "key", "source", "subject", "data", "headers", "created"];

/// A file that may be there or not.
pub(crate) struct Sqlite {
    path: PathBuf,
    open: Option<Open>,
}

/// An open file and which one it is.
struct Open {
    connection: Connection,
    file: String,
}

impl Sqlite {
    pub(crate) fn new(path: &str) -> Self {
        let (path, open) = (PathBuf::from(path), None);
        Self { path, open }
    }

    pub(crate) async fn next(&mut self, after: u64) -> Result<Batch, SourceError> {
        self.read(move |open| batch(open, after)).await
    }

    pub(crate) async fn pending(&mut self, after: u64) -> Result<u64, SourceError> {
        self.read(move |open| {
            let count = "SELECT count(*) FROM (SELECT 1 FROM ondol_outbox WHERE seq > ?1 LIMIT ?2)";
            Ok(open
                .connection
                .prepare_cached(count)?
                .query_row((after, COUNTED), |row| row.get(0))?)
        })
        .await
    }

    /// Reads on a thread that may block. After an error, and when the caller goes away, the file is opened anew.
    async fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&Open) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (path, open) = (self.path.clone(), self.open.take());
        let task = tokio::task::spawn_blocking(move || {
            let file = file_of(&path)?;
            let open = match open.filter(|open| open.file == file) {
                Some(open) => open,
                None => Open {
                    connection: connect(&path)?,
                    file,
                },
            };
            let value = read(&open)?;
            Ok::<_, SourceError>((open, value))
        });
        let (open, value) = task.await.map_err(|_| SourceError::Ended)??;
        self.open = Some(open);
        Ok(value)
    }
}

/// What tells this file from another of its name: device, number, birth.
fn file_of(path: &Path) -> Result<String, SourceError> {
    let known = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => SourceError::Missing(path.display().to_string()),
        _ => SourceError::Shape(format!("its file cannot be looked at: {error}")),
    })?;
    let born = known
        .created()
        .ok()
        .and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    Ok(format!(
        "{}:{}:{}",
        known.dev(),
        known.ino(),
        born.unwrap_or_default().as_millis()
    ))
}

fn connect(path: &Path) -> Result<Connection, SourceError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    let shape = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'ondol_outbox'";
    let sql: Option<String> = connection.query_row(shape, (), |row| row.get(0)).optional()?;
    match sql {
        None => Err(SourceError::Shape("it is not there".into())),
        Some(sql) if !sql.to_ascii_uppercase().contains("AUTOINCREMENT") => Err(SourceError::Shape(
            "seq is not AUTOINCREMENT, so a number could be given twice".into(),
        )),
        Some(_) => Ok(connection),
    }
}

fn batch(open: &Open, after: u64) -> Result<Batch, SourceError> {
    let highest = "SELECT seq FROM sqlite_sequence WHERE name = 'ondol_outbox'";
    let mut statement = open.connection.prepare_cached(&query())?;
    let (mut found, mut bytes, mut rows) = (Batch::default(), 0, statement.query([after])?);
    while let Some(row) = rows.next()? {
        let row = outbox_row(row)?.bounded();
        bytes += row.weight();
        found.rows.push(row);
        if bytes >= BYTES {
            break;
        }
    }
    drop(rows);
    found.more = bytes >= BYTES || found.rows.len() >= ROWS;
    // After the rows: a number that was given meanwhile only makes it larger.
    let highest: Option<u64> = open
        .connection
        .prepare_cached(highest)?
        .query_row((), |row| row.get(0))
        .optional()?;
    found.file = Some((open.file.clone(), highest.unwrap_or(0)));
    Ok(found)
}

/// A text may have a gigabyte, and a row that is read must fit into memory together with everything else. Of one that is
/// too large only the size is asked, which SQLite tells without reading it.
fn query() -> String {
    let text = |name: &&str| {
        format!(
            "CASE WHEN octet_length({name}) > {LARGEST} THEN '(' || octet_length({name}) || ' bytes)' ELSE {name} END"
        )
    };
    let size = |name: &&str| format!("ifnull(octet_length({name}), 0)");
    let list = |each: &dyn Fn(&&str) -> String, between: &str| TEXTS.iter().map(each).collect::<Vec<_>>().join(between);
    let (texts, largest, sum) = (list(&text, ", "), list(&size, ", "), list(&size, " + "));
    format!(
        "SELECT seq, {texts}, CASE WHEN max({largest}) > {LARGEST} THEN {sum} END
         FROM ondol_outbox WHERE seq > ?1 ORDER BY seq LIMIT {ROWS}"
    )
}

fn outbox_row(row: &Row<'_>) -> Result<OutboxRow, rusqlite::Error> {
    Ok(OutboxRow {
        seq: row.get(0)?,
        id: text(row, 1)?.unwrap_or_default(),
        kind: text(row, 2)?.unwrap_or_default(),
        key: text(row, 3)?,
        source: text(row, 4)?,
        subject: text(row, 5)?,
        data: text(row, 6)?.unwrap_or_default(),
        headers: text(row, 7)?.unwrap_or_else(|| "{}".into()),
        created: text(row, 8)?,
        cut: row.get(9)?,
    })
}

/// A value as text, whatever it is: SQLite's columns hold any. What makes no event is a dead letter and no error here.
fn text(row: &Row<'_>, column: usize) -> Result<Option<String>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_text_that_is_too_large_is_told_by_its_size_and_never_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let service = Connection::open(file.path()).expect("opens");
        let insert = format!(
            "CREATE TABLE ondol_outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, type TEXT, key TEXT, source TEXT,
                subject TEXT, data TEXT, headers TEXT, created TEXT);
             INSERT INTO ondol_outbox (id, type, data) VALUES ('a', 'a.v1', '1'), ('b', 'a.v1', zeroblob({size})),
                (zeroblob({size}), 'a.v1', '3'), ('d', 'a.v1', '4')",
            size = 2 * LARGEST
        );
        service.execute_batch(&insert).expect("inserted");
        let mut sqlite = Sqlite::new(&file.path().display().to_string());
        let rows = sqlite.next(0).await.expect("read").rows;
        let told: Vec<_> = rows
            .iter()
            .map(|row| (&*row.id, &*row.data, row.cut.is_some()))
            .collect();
        let size = format!("({} bytes)", 2 * LARGEST);
        assert_eq!(
            told,
            [
                ("a", "1", false),
                ("b", &*size, true),
                (&*size, "3", true),
                ("d", "4", false)
            ]
        );
        assert_eq!(rows[1].cut, Some(2 * LARGEST as u64 + 5));
    }
}
