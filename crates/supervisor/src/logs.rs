//! Every line that a child wrote: numbered, stored by source, read from any number on.
//!
//! Invariants
//! - Numbers rise by one with every line, over lives of the supervisor too, and are given under one lock, so a reader that
//!   has seen number N has seen all before it that are kept.
//! - A reader holds no lock while it writes to its client. The newest lines come from a ring in memory, older ones from the
//!   files; what the quota took in between is told by one line of stream `sup` with the count.
//! - When the disk refuses, lines stay in the ring only, and one line of stream `sup` says how many once it is well again.
//!
//! Not here: reading the pipes (`pump.rs`), files (`segments.rs`).

use crate::line;
use crate::segments::{self, Segments};
use crate::sources::{Filter, decode_name, encode_name};
use crate::wake::{Bell, Wake};
use ondol_core::clock::SharedClock;
use ondol_core::wire::supervision::LogLine;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of text in the ring.
const RING_BYTES: usize = 512 << 10;
/// With stored lines; those that have not written for the longest are removed first.
const SOURCES: usize = 256;

/// The store.
pub(crate) struct Logs {
    folder: PathBuf,
    quota: u64,
    clock: SharedClock,
    inner: Mutex<Inner>,
    bell: Bell,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    ring: VecDeque<Arc<LogLine>>,
    ring_bytes: usize,
    sources: BTreeMap<String, Source>,
}

#[derive(Debug)]
struct Source {
    segments: Segments,
    /// Lines that the disk refused.
    lost: u64,
}

/// A line to be: where it comes from is said once for many.
#[derive(Debug)]
pub(crate) struct Raw {
    pub text: String,
    pub continued: bool,
}

impl Logs {
    /// Opens what earlier lives stored.
    pub(crate) fn open(folder: PathBuf, quota: u64, clock: SharedClock) -> io::Result<Self> {
        let mut sources = BTreeMap::new();
        for entry in std::fs::read_dir(&folder)?.flatten() {
            let Some(name) = entry.file_name().to_str().and_then(decode_name) else {
                continue;
            };
            let segments = Segments::open(entry.path(), quota)?;
            sources.insert(name, Source { segments, lost: 0 });
        }
        let next = sources
            .values()
            .map(|source: &Source| source.segments.last())
            .max()
            .unwrap_or(0)
            + 1;
        let inner = Inner {
            next,
            ring: VecDeque::new(),
            ring_bytes: 0,
            sources,
        };
        Ok(Self {
            folder,
            quota,
            clock,
            inner: Mutex::new(inner),
            bell: Bell::default(),
        })
    }

    /// Rings whenever there are new lines.
    pub(crate) fn listen(&self) -> io::Result<Arc<Wake>> {
        self.bell.listen()
    }

    /// Wakes those who wait for lines, to see that the end has come.
    pub(crate) fn wake_readers(&self) {
        self.bell.ring();
    }

    /// The number that the next line gets.
    pub(crate) fn next(&self) -> u64 {
        self.lock().next
    }

    /// The supervisor's own word about a source.
    pub(crate) fn say(&self, source: &str, text: impl Into<String>) {
        self.append(
            source,
            "sup",
            vec![Raw {
                text: text.into(),
                continued: false,
            }],
        );
    }

    /// Numbers and stores lines.
    pub(crate) fn append(&self, source: &str, stream: &str, lines: Vec<Raw>) {
        if lines.is_empty() {
            return;
        }
        let mut inner = self.lock();
        inner.append(self, source, stream, lines);
        drop(inner);
        self.bell.ring();
    }

    /// The number to begin at for the latest `tail` kept lines after `after`.
    pub(crate) fn start(&self, filter: &Filter, tail: usize, after: Option<u64>) -> u64 {
        let after = after.map_or(1, |seq| seq.saturating_add(1));
        let (next, files) = {
            let inner = self.lock();
            let wanted = inner.sources.iter().filter(|(name, _)| filter.takes(name));
            let files: Vec<_> = wanted.map(|(_, source)| source.segments.newest_first()).collect();
            (inner.next, files)
        };
        // The latest numbers of each source, then the latest of them all.
        let mut latest = BinaryHeap::new();
        for source in files {
            let mut of_source = 0;
            for file in source {
                let numbers = segments::numbers(&file);
                of_source += numbers.len();
                for seq in numbers {
                    latest.push(std::cmp::Reverse(seq));
                    if latest.len() > tail {
                        latest.pop();
                    }
                }
                if of_source >= tail {
                    break;
                }
            }
        }
        let first = match latest.peek() {
            Some(first) if latest.len() >= tail => first.0.max(after),
            None if tail == 0 => next,
            // Fewer are kept than asked for: from the very beginning, so that what the quota took is told.
            _ => after,
        };
        first.min(next)
    }

    /// Hands every kept line from number `cursor` on to `sink` and moves the cursor behind the last; returns when there are
    /// no more for now, or with the sink's error.
    pub(crate) fn drain(
        &self,
        filter: &Filter,
        cursor: &mut u64,
        sink: &mut impl FnMut(&LogLine) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let (lines, files) = {
                let inner = self.lock();
                if *cursor >= inner.next {
                    return Ok(());
                }
                inner.batch(filter, *cursor)
            };
            if let Some(files) = files {
                self.drain_files(files, cursor, sink)?;
            }
            for line in lines {
                if filter.takes(&line.source) {
                    sink(&line)?;
                }
                *cursor = line.seq + 1;
            }
        }
    }

    fn drain_files(
        &self,
        files: Files,
        cursor: &mut u64,
        sink: &mut impl FnMut(&LogLine) -> io::Result<()>,
    ) -> io::Result<()> {
        for (source, dropped) in &files.dropped {
            sink(&self.word(dropped.through, source, dropped_text(dropped.lines)))?;
        }
        let mut readers = files.readers;
        let mut heads: Vec<Option<LogLine>> = readers.iter_mut().map(Iterator::next).collect();
        while let Some(least) = (0..heads.len())
            .filter(|at| heads[*at].is_some())
            .min_by_key(|at| heads[*at].as_ref().map(|line| line.seq))
        {
            if let Some(line) = std::mem::replace(&mut heads[least], readers[least].next()) {
                *cursor = line.seq + 1;
                sink(&line)?;
            }
        }
        *cursor = files.until;
        Ok(())
    }

    /// A line that is told to one reader and not stored.
    fn word(&self, seq: u64, source: &str, text: String) -> LogLine {
        let (source, stream) = (source.to_owned(), "sup".to_owned());
        LogLine {
            seq,
            at: self.clock.wall(),
            source,
            stream,
            text,
            continued: false,
            level: None,
            trace_id: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dropped_text(lines: u64) -> String {
    format!("{lines} older lines were dropped: the quota of this source is full")
}

/// What must be read from files first: everything before `until`.
struct Files {
    readers: Vec<segments::Reader>,
    dropped: Vec<(String, segments::Dropped)>,
    until: u64,
}

impl Inner {
    fn append(&mut self, logs: &Logs, source: &str, stream: &str, lines: Vec<Raw>) {
        let at = logs.clock.wall();
        let first = self.next;
        let (mut encoded, mut ends) = (Vec::new(), Vec::with_capacity(lines.len()));
        for raw in lines {
            let said = line::read(&raw.text);
            let line = LogLine {
                seq: self.next,
                at,
                source: source.to_owned(),
                stream: stream.to_owned(),
                text: raw.text,
                continued: raw.continued,
                level: said.level,
                trace_id: said.trace_id,
            };
            self.next += 1;
            // Strings and numbers always encode.
            if serde_json::to_writer(&mut encoded, &line).is_ok() {
                encoded.push(b'\n');
            }
            ends.push(encoded.len());
            self.remember(line);
        }
        self.store(logs, source, &encoded, &ends, first);
    }

    fn remember(&mut self, line: LogLine) {
        self.ring_bytes += size(&line);
        self.ring.push_back(Arc::new(line));
        while self.ring_bytes > RING_BYTES && self.ring.len() > 1 {
            self.ring_bytes -= self.ring.pop_front().map_or(0, |line| size(&line));
        }
    }

    fn store(&mut self, logs: &Logs, name: &str, encoded: &[u8], ends: &[usize], first: u64) {
        let Some(source) = self.source(logs, name) else { return };
        match source.segments.append(encoded, ends, first) {
            Err((stored, _)) => source.lost += ends.len() as u64 - stored,
            Ok(()) if source.lost > 0 => {
                let text = format!(
                    "{} lines could not be stored: the disk refused them",
                    std::mem::take(&mut source.lost)
                );
                self.append(logs, name, "sup", vec![Raw { text, continued: false }]);
            }
            Ok(()) => {}
        }
    }

    fn source(&mut self, logs: &Logs, name: &str) -> Option<&mut Source> {
        if !self.sources.contains_key(name) {
            if self.sources.len() >= SOURCES {
                self.forget_oldest(logs);
            }
            let segments = Segments::open(logs.folder.join(encode_name(name)), logs.quota).ok()?;
            self.sources.insert(name.to_owned(), Source { segments, lost: 0 });
        }
        self.sources.get_mut(name)
    }

    fn forget_oldest(&mut self, logs: &Logs) {
        let oldest = self
            .sources
            .iter()
            .min_by_key(|(_, source)| source.segments.last())
            .map(|(name, _)| name.clone());
        if let Some(name) = oldest {
            self.sources.remove(&name);
            // What cannot be removed is found again at the next start.
            let _ = std::fs::remove_dir_all(logs.folder.join(encode_name(&name)));
        }
    }

    /// Lines of the ring from `cursor` on, or the files that hold what the ring has no more.
    fn batch(&self, filter: &Filter, cursor: u64) -> (Vec<Arc<LogLine>>, Option<Files>) {
        /// Lines handed out at once.
        const AT_ONCE: usize = 256;
        let in_ring = self.ring.front().map_or(self.next, |line| line.seq);
        if cursor >= in_ring {
            let skipped = usize::try_from(cursor - in_ring).unwrap_or(usize::MAX);
            return (self.ring.iter().skip(skipped).take(AT_ONCE).cloned().collect(), None);
        }
        let wanted = || self.sources.iter().filter(|(name, _)| filter.takes(name));
        let dropped = wanted().map(|(name, source)| (name.clone(), source.segments.dropped));
        let files = Files {
            readers: wanted()
                .map(|(_, source)| source.segments.reader(cursor, in_ring))
                .collect(),
            dropped: dropped.filter(|(_, dropped)| dropped.through >= cursor).collect(),
            until: in_ring,
        };
        (Vec::new(), Some(files))
    }
}

fn size(line: &LogLine) -> usize {
    line.text.len() + line.source.len() + size_of::<LogLine>()
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
