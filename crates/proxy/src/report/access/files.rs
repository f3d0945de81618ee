//! The access log on disk: a bounded number of files of bounded size, numbered upwards; the oldest goes first.
//!
//! Why numbers and no renaming: a reader knows which file comes next, and that a file which has a successor is done.
//!
//! Invariants
//! - One write is a batch of whole lines, appended by one call. What a crash left of a batch stays where it is, and the
//!   next proxy begins another file; a reader passes over a line without an end.
//! - Two proxies may write while one hands over to the other: each batch is written under a lock on the folder, to the newest file
//!   that there is. The kernel takes the lock from a process that ends.
//! - Never more than [`FILES`] files. One is at most [`PART`] bytes long, or one batch longer.
//! - A disk that refuses stops nothing: the error goes to the caller, and the next batch is tried again.
//!
//! Not here: which entries are kept and what a line says (`access.rs`), who reads them (`reader.rs`). Nothing is synced: a
//! power cut may take the last seconds, a killed process only the batch that was not written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files kept.
pub const FILES: usize = 8;
/// Bytes from which on a file is done.
pub const PART: u64 = 8 << 20;
const SUFFIX: &str = "jsonl";

/// Writes batches of lines. The folder is made, and the newest file continued, by the first of them.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    part: u64,
    /// The folder itself.
    lock: Option<File>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    number: u64,
}

impl Files {
    /// Into this folder. Touches no disk yet, so that a full one holds no proxy up.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            part: PART,
            lock: None,
            current: None,
        }
    }

    /// What is locked; the folder is made if it is not there.
    fn lock(&mut self) -> io::Result<File> {
        if let Some(folder) = self.lock.take() {
            return Ok(folder);
        }
        fs::create_dir_all(&self.folder)?;
        File::open(&self.folder)
    }

    /// Appends a batch. Call under the lock.
    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        let (file, size) = self.current()?;
        file.write_all(batch).inspect_err(|_| {
            // A part of a line would spoil the next one.
            let _ = file.set_len(size);
        })
    }

    /// The file that the next batch goes to, and its size.
    fn current(&mut self) -> io::Result<(&mut File, u64)> {
        let next = match self.current.take() {
            // The other proxy may have begun the next one.
            Some(current) if !path_of(&self.folder, current.number + 1).exists() => {
                match current.file.metadata()?.len() < self.part {
                    true => current,
                    false => self.begin(current.number + 1)?,
                }
            }
            _ => self.resume()?,
        };
        let current = self.current.insert(next);
        let size = current.file.metadata()?.len();
        Ok((&mut current.file, size))
    }

    /// The newest file, if its last line is whole and there is room; else another one.
    fn resume(&self) -> io::Result<Current> {
        let Some(number) = numbers(&self.folder)?.pop() else {
            return self.begin(1);
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(path_of(&self.folder, number))?;
        let size = file.metadata()?.len();
        let mut last = [b'\n'];
        if size > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last == *b"\n" && size < self.part {
            return Ok(Current { file, number });
        }
        self.begin(number + 1)
    }

    fn begin(&self, number: u64) -> io::Result<Current> {
        let mut kept = numbers(&self.folder)?;
        kept.truncate((kept.len() + 1).saturating_sub(FILES));
        for oldest in kept {
            match fs::remove_file(path_of(&self.folder, oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path_of(&self.folder, number))?;
        Ok(Current { file, number })
    }
}

impl Write for Files {
    /// Takes the whole batch, or none of it.
    fn write(&mut self, batch: &[u8]) -> io::Result<usize> {
        let folder = self.lock()?;
        folder.lock()?;
        self.append(batch)?; // An error closes the folder, which gives the lock back.
        folder.unlock()?;
        self.lock = Some(folder);
        Ok(batch.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The numbers of the files that are there, rising.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = |stem: &std::ffi::OsStr| stem.to_str()?.parse::<u64>().ok();
        if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            numbers.extend(path.file_stem().and_then(number));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::super::reader::Reader;
    use super::*;

    /// A log whose files are done at 10 bytes.
    fn small(folder: &Path) -> Files {
        Files {
            part: 10,
            ..Files::new(folder.to_owned())
        }
    }

    fn write(log: &mut Files, batches: &[&str]) {
        batches
            .iter()
            .for_each(|batch| log.write_all(batch.as_bytes()).expect("written"));
    }

    fn read(reader: &mut Reader) -> String {
        let lines = std::iter::from_fn(|| reader.next_text().expect("readable"));
        let lines: Vec<_> = lines.map(|line| String::from_utf8(line).expect("text")).collect();
        lines.join(" ")
    }

    fn latest(folder: &Path, lines: usize) -> String {
        read(&mut Reader::at_latest(folder.to_owned(), &[], lines).expect("readable"))
    }

    #[test]
    fn the_number_and_size_of_files_are_bounded_and_the_oldest_lines_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = small(&dir.path().join("access"));
        (0..100).for_each(|n| write(&mut log, &[&format!("line-{n:02}\n")]));
        let files = numbers(&log.folder).expect("listed");
        assert_eq!(
            (files.len(), files[0], files[FILES - 1]),
            (FILES, 43, 50),
            "two lines each"
        );
        for number in files {
            let size = fs::metadata(path_of(&log.folder, number)).expect("there").len();
            assert_eq!(size, 16, "file {number}");
        }
        assert_eq!(latest(&log.folder, 1_000).split(' ').next(), Some("line-84"));
        assert_eq!(latest(&log.folder, 3), "line-97 line-98 line-99");
        assert_eq!(latest(&log.folder, 0), "");
    }

    #[test]
    fn another_proxy_continues_the_newest_file() {
        let dir = tempfile::tempdir().expect("a folder");
        write(&mut small(dir.path()), &["a\n"]);
        write(&mut small(dir.path()), &["b\n"]);
        assert_eq!(numbers(dir.path()).expect("listed"), [1]);
        assert_eq!(latest(dir.path(), 9), "a b");
    }

    #[test]
    fn two_proxies_at_once_lose_no_line_to_a_follower_and_keep_the_bounds() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut reader = Reader::at_latest(dir.path().to_owned(), &[], 9).expect("nothing yet");
        let (mut old, mut new) = (small(dir.path()), small(dir.path()));
        for n in 0..40 {
            write(&mut old, &[&format!("old-{n:02}\n")]);
            write(&mut new, &[&format!("new-{n:02}\n")]);
            assert_eq!(read(&mut reader), format!("old-{n:02} new-{n:02}"));
        }
        let files = numbers(dir.path()).expect("listed");
        assert_eq!(files.len(), FILES);
        for number in files {
            let size = fs::metadata(path_of(dir.path(), number)).expect("there").len();
            assert_eq!(size, 14, "two lines in file {number}");
        }
    }

    #[test]
    fn what_a_crash_left_of_a_line_is_passed_over_and_spoils_no_other() {
        let dir = tempfile::tempdir().expect("a folder");
        write(&mut small(dir.path()), &["a\n"]);
        fs::write(path_of(dir.path(), 1), "a\n{\"half").expect("written");
        let mut reader = Reader::at_latest(dir.path().to_owned(), &[], 9).expect("readable");
        assert_eq!(read(&mut reader), "a");
        write(&mut small(dir.path()), &["b\n"]);
        assert_eq!(read(&mut reader), "b");
        assert_eq!(latest(dir.path(), 2), "a b");
    }

    #[test]
    fn a_reader_follows_from_file_to_file_and_over_those_that_went() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut reader = Reader::at_latest(dir.path().join("access"), &[], 9).expect("nothing yet");
        assert_eq!(read(&mut reader), "");
        let mut log = small(&dir.path().join("access"));
        write(&mut log, &["a\n"]);
        assert_eq!(read(&mut reader), "a");
        write(&mut log, &["b234567890\n", "c\n", "d\n"]);
        assert_eq!(read(&mut reader), "b234567890 c d");
        (0..3 * FILES).for_each(|n| write(&mut log, &[&format!("long-line-{n:02}\n")]));
        let rest = read(&mut reader);
        assert!(
            rest.starts_with("long-line-00 long-line-") && rest.ends_with("23"),
            "{rest}"
        );
        write(&mut log, &["e\n"]);
        assert_eq!(read(&mut reader), "e");
    }

    #[test]
    fn a_disk_that_refused_is_tried_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("access");
        fs::write(&folder, "no folder").expect("written");
        let mut log = small(&folder);
        assert!(log.write_all(b"a\n").is_err());
        fs::remove_file(&folder).expect("removed");
        write(&mut log, &["b\n"]);
        assert_eq!(latest(&folder, 9), "b");
    }
}
