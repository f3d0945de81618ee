//! Reads the access log, oldest line first, also the lines that come later.
//!
//! A line's number is where it stands: the number of its file, then its first byte there. It rises from line to line, over
//! files and lives of the proxy, so a reader that comes back tells what it has from what it has not.

use super::files::{numbers, path_of};
use ondol_core::wire::supervision::LogLine;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

/// The stream of all lines, and what the source of the requests that a service answered begins with: `access/SERVICE`.
pub const STREAM: &str = "access";
/// Bits of a line's number that say where in its file it begins.
const OFFSET_BITS: u32 = 32;

/// The service in a source `access/SERVICE`; `None`: another source.
pub fn service_of(source: &str) -> Option<&str> {
    source.strip_prefix(STREAM)?.strip_prefix('/')
}

/// Lines of the access log. Holds one open file.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    /// What one of must stand in a line that is wanted; none: every line is.
    targets: Vec<String>,
    /// Read already, while it was looked for a place.
    first: VecDeque<LogLine>,
    /// Where it reads; 0: nowhere yet.
    number: u64,
    file: Option<BufReader<File>>,
    /// Of `partial`, in the file.
    offset: u64,
    partial: Vec<u8>,
}

/// What is read of a line beside its text.
#[derive(Deserialize)]
struct Said {
    time: String,
    level: String,
    trace_id: String,
    target: String,
    instance: Option<String>,
}

impl Reader {
    /// At the latest `lines` lines, or all if there are fewer, of requests that these services answered; none: all. Reads
    /// no more files than it takes to find them.
    ///
    /// # Errors
    /// Those of the disk; a folder that is not there is an empty one.
    pub fn at_latest(folder: PathBuf, services: &[String], lines: usize) -> io::Result<Self> {
        let mut this = Self::new(folder, services);
        let (mut found, mut newest_first) = (0, numbers(&this.folder)?);
        while let Some(number) = newest_first.pop() {
            found += match File::open(path_of(&this.folder, number)) {
                Ok(file) => count_lines(file, &this.targets)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break, // Just removed: so are all older ones.
                Err(error) => return Err(error),
            };
            this.number = number;
            if found >= lines {
                break;
            }
        }
        for _ in 0..found.saturating_sub(lines) {
            this.next_text()?;
        }
        Ok(this)
    }

    /// After the line with this number, but no further back than the latest `lines`. What was removed meanwhile is left out.
    /// Where every line has a smaller number, the log is not the one that had that line, and its latest lines are given.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn after(folder: PathBuf, services: &[String], seq: u64, lines: usize) -> io::Result<Self> {
        let mut this = Self::at_latest(folder, services, lines)?;
        let mut latest = VecDeque::new();
        while let Some(line) = this.next_line()? {
            latest.push_back(line);
        }
        if latest.back().is_some_and(|last| last.seq >= seq) {
            latest.retain(|line| line.seq > seq);
        }
        this.first = latest;
        Ok(this)
    }

    fn new(folder: PathBuf, services: &[String]) -> Self {
        let target = |service: &String| format!(r#""target":"{service}""#);
        Self {
            folder,
            targets: services.iter().map(target).collect(),
            first: VecDeque::new(),
            number: 0,
            file: None,
            offset: 0,
            partial: Vec::new(),
        }
    }

    /// The next line that is wanted; `None`: there is none yet. What is no line of an access log is passed over.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn next_line(&mut self) -> io::Result<Option<LogLine>> {
        if let Some(line) = self.first.pop_front() {
            return Ok(Some(line));
        }
        while let Some(text) = self.next_text()? {
            let seq = (self.number << OFFSET_BITS) + self.offset - text.len() as u64 - 1;
            if let Some(line) = line(seq, text) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The next line of a wanted service without its end, whatever else it says.
    pub(super) fn next_text(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.file.is_none() {
                let Some(next) = numbers(&self.folder)?.into_iter().find(|number| *number >= self.number) else {
                    return Ok(None);
                };
                self.open(next)?;
                continue;
            }
            if let Some(text) = self.whole_line()? {
                return Ok(Some(text));
            }
            let Some(successor) = numbers(&self.folder)?.into_iter().find(|number| *number > self.number) else {
                return Ok(None);
            };
            // A file with a successor grows no more; this is what came since the read before.
            if let Some(text) = self.whole_line()? {
                return Ok(Some(text));
            }
            self.open(successor)?;
        }
    }

    /// The next wanted line of the open file, if its end is there.
    fn whole_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        loop {
            file.read_until(b'\n', &mut self.partial)?;
            if self.partial.pop_if(|last| *last == b'\n').is_none() {
                break;
            }
            self.offset += self.partial.len() as u64 + 1;
            let text = std::mem::take(&mut self.partial);
            if has_one(&text, &self.targets) {
                return Ok(Some(text));
            }
        }
        // A disk that was full took a part of a batch, and the proxy took that back.
        let end = file.get_ref().metadata()?.len();
        if end < self.offset + self.partial.len() as u64 {
            self.partial.clear();
            self.offset = self.offset.min(end);
            file.seek(SeekFrom::Start(self.offset))?;
        }
        Ok(None)
    }

    fn open(&mut self, number: u64) -> io::Result<()> {
        self.partial.clear();
        (self.number, self.offset) = (number, 0);
        self.file = match File::open(path_of(&self.folder, number)) {
            Ok(file) => Some(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None, // Removed meanwhile; a newer one follows.
            Err(error) => return Err(error),
        };
        Ok(())
    }
}

/// Lines of a file that have one of these.
fn count_lines(file: File, targets: &[String]) -> io::Result<usize> {
    let (mut reader, mut line, mut lines) = (BufReader::new(file), Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        lines += usize::from(line.ends_with(b"\n") && has_one(&line, targets));
        line.clear();
    }
    Ok(lines)
}

/// Whether one of these stands in the line; none: any line. By its bytes, since most lines of a busy log are somebody else's;
/// a quote within a value has a backslash before it.
fn has_one(line: &[u8], targets: &[String]) -> bool {
    let stands = |target: &String| memchr::memmem::find(line, target.as_bytes()).is_some();
    targets.is_empty() || targets.iter().any(stands)
}

fn line(seq: u64, text: Vec<u8>) -> Option<LogLine> {
    let text = String::from_utf8(text).ok()?;
    let said: Said = serde_json::from_str(&text).ok()?;
    Some(LogLine {
        seq,
        at: said.time.parse().ok()?,
        source: said.instance.unwrap_or(said.target),
        stream: STREAM.to_owned(),
        text,
        continued: false,
        level: Some(said.level),
        trace_id: Some(said.trace_id),
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::Files;
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    fn request(target: &str, n: usize) -> String {
        format!(
            r#"{{"time":"2026-01-01T00:00:00.{n:03}Z","level":"info","trace_id":"{n:032x}","target":"{target}","instance":"{target}.1"}}"#
        ) + "\n"
    }

    fn log(folder: &Path, requests: impl IntoIterator<Item = String>) {
        let text: String = requests.into_iter().collect();
        Files::new(folder.to_owned())
            .write_all(text.as_bytes())
            .expect("written");
    }

    fn rest(reader: &mut Reader) -> Vec<LogLine> {
        std::iter::from_fn(|| reader.next_line().expect("readable")).collect()
    }

    fn seqs(lines: &[LogLine]) -> Vec<u64> {
        lines.iter().map(|line| line.seq).collect()
    }

    #[test]
    fn a_reader_that_comes_back_goes_on_after_its_line_in_any_file() {
        let dir = tempfile::tempdir().expect("a folder");
        log(dir.path(), (0..3).map(|n| request("orders", n)));
        fs::write(
            path_of(dir.path(), 2),
            (3..6).map(|n| request("cart", n)).collect::<String>(),
        )
        .expect("written");
        let all = rest(&mut Reader::at_latest(dir.path().to_owned(), &[], 9).expect("readable"));
        assert_eq!(all.len(), 6);
        assert!(seqs(&all).is_sorted() && all[3].seq == 2 << 32, "{:?}", seqs(&all));
        for (index, line) in all.iter().enumerate() {
            let again = |seq| rest(&mut Reader::after(dir.path().to_owned(), &[], seq, 9).expect("readable"));
            assert_eq!(again(line.seq), all[index + 1..], "after it");
            assert_eq!(again(line.seq - 1), all[index..], "it once more");
        }
    }

    #[test]
    fn what_was_removed_is_left_out_and_a_log_made_anew_is_read_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let after = |seq| rest(&mut Reader::after(dir.path().to_owned(), &[], seq, 9).expect("readable"));
        assert!(after(7 << 32).is_empty(), "no folder yet");
        fs::write(path_of(dir.path(), 5), request("orders", 1)).expect("written");
        assert_eq!(seqs(&after((3 << 32) + 17)), [5 << 32]);
        assert_eq!(seqs(&after(9 << 32)), [5 << 32], "another life of the log");
    }

    #[test]
    fn a_reader_that_was_away_for_long_gets_the_latest_lines() {
        let dir = tempfile::tempdir().expect("a folder");
        log(dir.path(), (0..30).map(|n| request("orders", n)));
        let all = rest(&mut Reader::at_latest(dir.path().to_owned(), &[], 30).expect("readable"));
        let mut reader = Reader::after(dir.path().to_owned(), &[], all[3].seq, 5).expect("readable");
        assert_eq!(rest(&mut reader), all[25..]);
        log(dir.path(), [request("orders", 30)]);
        assert_eq!(rest(&mut reader).len(), 1, "and goes on");
    }

    #[test]
    fn what_a_full_disk_took_back_is_read_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        log(dir.path(), [request("orders", 1)]);
        let mut reader = Reader::at_latest(dir.path().to_owned(), &[], 9).expect("readable");
        assert_eq!(rest(&mut reader).len(), 1);
        let path = path_of(dir.path(), 1);
        let kept = fs::metadata(&path).expect("there").len();
        log(dir.path(), [request("orders", 2), "{\"half".into()]);
        assert_eq!(rest(&mut reader).len(), 1, "it was there for a moment");
        let file = fs::OpenOptions::new().write(true).open(&path).expect("there");
        file.set_len(kept).expect("cut");
        assert_eq!(rest(&mut reader), []);
        log(dir.path(), [request("orders", 3)]);
        let traces: Vec<_> = rest(&mut reader).into_iter().filter_map(|line| line.trace_id).collect();
        assert_eq!(traces, [format!("{:032x}", 3)]);
    }

    #[test]
    fn of_some_services_the_latest_and_those_that_come() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = |n| if n % 3 == 0 { "orders" } else { "cart" };
        log(dir.path(), (0..30).map(|n| request(name(n), n)));
        log(dir.path(), ["no request\n".to_owned(), request("orders", 30)]);
        let mut reader = Reader::at_latest(dir.path().to_owned(), &["orders".into()], 2).expect("readable");
        let first = rest(&mut reader);
        let traces: Vec<_> = first
            .iter()
            .map(|line| line.trace_id.clone().unwrap_or_default())
            .collect();
        assert_eq!(traces, [format!("{:032x}", 27), format!("{:032x}", 30)]);
        assert_eq!(
            (first[0].source.as_str(), first[0].stream.as_str()),
            ("orders.1", "access")
        );
        log(dir.path(), [request("cart", 31), request("orders", 32)]);
        let more = rest(&mut reader);
        assert_eq!(more.len(), 1);
        assert!(more[0].seq > first[1].seq);
        let mut none = Reader::at_latest(dir.path().to_owned(), &["orders".into()], 0).expect("readable");
        assert_eq!(rest(&mut none), []);
    }
}
