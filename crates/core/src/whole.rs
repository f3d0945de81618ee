//! Small files of `.ondol` that appear whole or not at all, with mode 0600.
//!
//! Errors name the file and what to do, since a full disk is what a start meets first.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that could not be written; the page `docs/errors/CL-004.md` says what to do.
#[derive(Debug, thiserror::Error)]
#[error("CL-004: {} cannot be written; {}", path.display(), advice(source.kind()))]
pub struct Unwritten {
    path: PathBuf,
    source: io::Error,
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its file system",
        ErrorKind::PermissionDenied => "give the folder to the user who starts the system",
        ErrorKind::ReadOnlyFilesystem => "mount its file system for writing",
        _ => "see what is wrong with its file system",
    }
}

impl Unwritten {
    /// `path` could not be written because of this.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self {
            path: path.to_path_buf(),
            source,
        }
    }
}

/// Puts `bytes` at `path`. They are on the disk when this returns; the name may be lost with a power cut.
///
/// # Errors
/// [`Unwritten`]; what was at `path` is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Unwritten> {
    let half = path.with_extension("half");
    let done = write_half(&half, bytes).and_then(|()| std::fs::rename(&half, path));
    done.map_err(|source| {
        // It would keep a full disk full. What refuses to go is written over by the next try.
        let _ = std::fs::remove_file(&half);
        Unwritten::at(path)(source)
    })
}

fn write_half(half: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options.write(true).create(true).truncate(true).mode(0o600).open(half)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("plan.json");
        write(&path, b"one").expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"one");
        let nowhere = dir.path().join("no/plan.json");
        let error = write(&nowhere, b"two").expect_err("no folder").to_string();
        assert!(
            error.starts_with("CL-004: ") && error.contains("no/plan.json"),
            "{error}"
        );
        let full = Unwritten::at(&path)(ErrorKind::StorageFull.into()).to_string();
        assert!(full.ends_with("make room on its file system"), "{full}");
    }
}
