//! The stored lines of one source: JSON lines in files of a bounded number and size, oldest first.
//!
//! A file is named by its first line's number. A line is written whole by one call or, after a crash, cut off at the next
//! start. Past the quota the oldest file goes, and its lines are counted. Tests beside `logs.rs`.

use ondol_core::wire::supervision::LogLine;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Into how many files a quota is divided.
const PARTS: u64 = 16;
const SUFFIX: &str = "jsonl";

/// Writes one source.
#[derive(Debug)]
pub(crate) struct Segments {
    folder: PathBuf,
    part: u64,
    /// First line's number of each file, oldest first.
    files: VecDeque<u64>,
    current: Option<(File, u64)>,
    /// The number of the last stored line.
    last: u64,
    pub dropped: Dropped,
}

/// What the quota took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Dropped {
    pub lines: u64,
    /// The number of the last of them.
    pub through: u64,
}

impl Segments {
    /// Opens the folder, made if need be, and cuts off what a crash left of a line.
    pub(crate) fn open(folder: PathBuf, quota: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut files: Vec<u64> = fs::read_dir(&folder)?
            .flatten()
            .filter_map(|entry| first_of(&entry.path()))
            .collect();
        files.sort_unstable();
        let mut this = Self {
            part: (quota / PARTS).max(1),
            files: files.into(),
            current: None,
            last: 0,
            dropped: read_dropped(&folder),
            folder,
        };
        this.recover()?;
        Ok(this)
    }

    /// The number of the last stored line, 0 if there is none.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Files to read lines from `from` on, oldest first.
    pub(crate) fn reader(&self, from: u64, until: u64) -> Reader {
        let covered = self
            .files
            .iter()
            .filter(|first| **first <= from)
            .count()
            .saturating_sub(1);
        let files = self
            .files
            .iter()
            .skip(covered)
            .map(|first| path_of(&self.folder, *first))
            .collect();
        Reader {
            files,
            current: None,
            from,
            until,
        }
    }

    /// Paths of all files, newest first.
    pub(crate) fn newest_first(&self) -> Vec<PathBuf> {
        self.files
            .iter()
            .rev()
            .map(|first| path_of(&self.folder, *first))
            .collect()
    }

    /// Stores the lines numbered from `first` on; `ends` is where each ends in `encoded`. Few writes, each of whole lines.
    ///
    /// # Errors
    /// Those of the disk, with how many lines it took before.
    pub(crate) fn append(&mut self, encoded: &[u8], ends: &[usize], first: u64) -> Result<(), (u64, io::Error)> {
        let (mut stored, mut from) = (0, 0);
        while stored < ends.len() {
            let seq = first + stored as u64;
            let room = self
                .current
                .as_ref()
                .map_or(0, |(_, size)| self.part.saturating_sub(*size));
            let fit = ends[stored..]
                .iter()
                .take_while(|end| (**end - from) as u64 <= room)
                .count();
            if fit == 0 {
                self.rotate(seq).map_err(|error| (stored as u64, error))?;
            }
            // A line larger than a file has a file of its own.
            let upto = stored + fit.max(1);
            self.write(&encoded[from..ends[upto - 1]])
                .map_err(|error| (stored as u64, error))?;
            (stored, from) = (upto, ends[upto - 1]);
            self.last = first + stored as u64 - 1;
        }
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some((file, size)) = &mut self.current else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err(error) = file.write_all(lines) {
            // A part of a line would be read as one; better none.
            let _ = file.set_len(*size);
            let _ = file.seek(SeekFrom::Start(*size));
            return Err(error);
        }
        *size += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, first: u64) -> io::Result<()> {
        self.current = None;
        while self.files.len() as u64 >= PARTS {
            let oldest = self.files[0];
            let path = path_of(&self.folder, oldest);
            let lines = count_lines(&path).unwrap_or(0);
            fs::remove_file(&path)?;
            self.files.pop_front();
            self.dropped.lines += lines;
            self.dropped.through = self.files.front().map_or(first, |next| *next) - 1;
            write_dropped(&self.folder, self.dropped)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path_of(&self.folder, first))?;
        self.files.push_back(first);
        self.current = Some((file, 0));
        Ok(())
    }

    fn recover(&mut self) -> io::Result<()> {
        while let Some(first) = self.files.back().copied() {
            let path = path_of(&self.folder, first);
            let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
            let (size, last) = last_whole_line(&mut file)?;
            if let Some(last) = last {
                file.set_len(size)?;
                file.seek(SeekFrom::Start(size))?;
                self.last = last;
                self.current = Some((file, size));
                return Ok(());
            }
            fs::remove_file(&path)?;
            self.files.pop_back();
        }
        Ok(())
    }
}

/// Where the last whole line ends, and its number.
fn last_whole_line(file: &mut File) -> io::Result<(u64, Option<u64>)> {
    // A stored line is at most this long: 64 KiB of text, six bytes each at worst when escaped, and its fields.
    const LONGEST: u64 = 512 << 10;
    let size = file.metadata()?.len();
    let start = size.saturating_sub(2 * LONGEST);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        return Ok((0, None));
    };
    let begin = tail[..end]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    Ok((start + end as u64 + 1, seq_of(&tail[begin..end])))
}

/// Reads stored lines with numbers in `from..until`, in order.
#[derive(Debug)]
pub(crate) struct Reader {
    files: VecDeque<PathBuf>,
    current: Option<BufReader<File>>,
    from: u64,
    until: u64,
}

impl Iterator for Reader {
    type Item = LogLine;

    fn next(&mut self) -> Option<LogLine> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let Some(file) = &mut self.current else {
                // A file that the quota took meanwhile is skipped; the gap is told by what was dropped.
                self.current = File::open(self.files.pop_front()?).ok().map(BufReader::new);
                continue;
            };
            match file.read_until(b'\n', &mut text) {
                Ok(n) if n > 0 && text.ends_with(b"\n") => {}
                _ => {
                    self.current = None;
                    continue;
                }
            }
            match seq_of(&text) {
                Some(seq) if seq >= self.until => return None,
                Some(seq) if seq >= self.from => {}
                _ => continue,
            }
            if let Ok(line) = serde_json::from_slice(&text) {
                return Some(line);
            }
        }
    }
}

/// The numbers of a file's lines.
pub(crate) fn numbers(path: &Path) -> Vec<u64> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    BufReader::new(file)
        .split(b'\n')
        .map_while(Result::ok)
        .filter_map(|line| seq_of(&line))
        .collect()
}

/// A stored line begins with its number: `{"seq":12,`.
fn seq_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"seq\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut lines = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(lines);
        }
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let taken = chunk.len();
        reader.consume(taken);
    }
}

fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.{SUFFIX}"))
}

fn first_of(path: &Path) -> Option<u64> {
    (path.extension()? == SUFFIX).then_some(())?;
    path.file_stem()?.to_str()?.parse().ok()
}

fn read_dropped(folder: &Path) -> Dropped {
    let text = fs::read_to_string(folder.join("dropped")).unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
    Dropped {
        lines: numbers.next().unwrap_or(0),
        through: numbers.next().unwrap_or(0),
    }
}

fn write_dropped(folder: &Path, dropped: Dropped) -> io::Result<()> {
    fs::write(
        folder.join("dropped"),
        format!("{} {}\n", dropped.lines, dropped.through),
    )
}
