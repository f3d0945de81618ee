//! A small file that only its owner may read and that is written once, whole, or not at all.
//!
//! For the signing key and the first accounts. The bytes are written to a file of another name, made durable, and only then
//! linked to the right name: a crash leaves either nothing or everything, and of two instances that start at once exactly
//! one wins.
//!
//! Tests: below.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What `path` holds: `first` when it did not exist until now, else what it held before. Blocks on the disk.
///
/// # Errors
/// The file cannot be read or written.
pub fn keep(path: &Path, first: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let bytes = first()?;
    let written = write(&draft, &bytes).and_then(|()| match fs::hard_link(&draft, path) {
        // Another instance was faster; its file counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        linked => linked.map(|()| bytes),
    });
    // The draft is of no use whatever happened; one that a crash leaves is overwritten by the next process of that number.
    let _ = fs::remove_file(&draft);
    let bytes = written?;
    File::open(folder)?.sync_all()?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Removed first: the mode below applies only to a file that is made.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_content_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(keep(&path, || Ok(b"one".to_vec())).unwrap(), b"one");
        assert_eq!(keep(&path, || Ok(b"two".to_vec())).unwrap(), b"one");
    }

    #[test]
    fn only_the_owner_may_read_it_and_no_draft_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        keep(&path, || Ok(b"one".to_vec())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn when_another_instance_is_faster_its_content_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let got = keep(&path, || {
            fs::write(&path, b"theirs")?;
            Ok(b"mine".to_vec())
        });
        assert_eq!(got.unwrap(), b"theirs");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(keep(&folder.path().join("no/key"), || Ok(Vec::new())).is_err());
    }
}
