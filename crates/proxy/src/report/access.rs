//! The access log: one JSON line per request, or per head that is none ([`refused`]), written by a thread of its own.
//!
//! Invariants
//! - A request never waits for the log: it pushes an entry under a short lock. Beyond [`MOST`] waiting entries new ones
//!   are dropped and counted.
//! - The thread is woken once per batch, not once per entry; it gathers for [`GATHER`] and writes the batch at once, a very
//!   large one in pieces. A killed process loses what it gathered.
//! - What clients send stands in JSON strings only, so no request can forge a line.
//!
//! The query is not logged: people put secrets there. How a line reads: [`line`]; where the lines go: [`files`]; how they are
//! read: [`reader`].

pub mod files;
mod line;
pub mod reader;
mod refused;

pub use refused::Refused;

use super::{Line, Served};
use crate::check::HeadError;
use crate::cluster::Endpoint;
use crate::filter::trace::Trace;
use crate::message::Version;
use http::Method;
use line::Calendar;
use ondol_core::clock::Timestamp;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::CacheResult;
use refused::Pace;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Entries that may wait.
pub const MOST: usize = 8_192;
/// How long a batch is gathered.
const GATHER: Duration = Duration::from_millis(20);
/// Text from which on it is written before more is made of the batch, bytes.
const PIECE: usize = 256 << 10;

/// One request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When its answer ended.
    pub at: Timestamp,
    /// Its place in a trace.
    pub trace: Trace,
    /// Its route or edge.
    pub line: Arc<Line>,
    /// The last instance that it was sent to.
    pub instance: Option<Arc<Endpoint>>,
    /// Who asked; `None` on edges.
    pub client: Option<IpAddr>,
    /// By which HTTP.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// The authority.
    pub host: Box<str>,
    /// The path.
    pub path: Box<str>,
    /// By which version of TLS; `None`: in the clear.
    pub tls: Option<&'static str>,
    /// How it ended.
    pub served: Served,
    /// How kept answers served it; `None`: its route or edge keeps none.
    pub kept: Option<CacheResult>,
    /// Bytes of the answer's body as sent.
    pub bytes: u64,
    /// Why the answer is not whole: the client went away or the body broke off.
    pub cut: Option<&'static str>,
}

/// What becomes a line.
#[derive(Debug)]
enum Item {
    Request(Entry),
    Refused(Refused),
}

#[derive(Debug, Default)]
struct Queue {
    entries: Vec<Item>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    dropped: AtomicU64,
    pace: Mutex<Pace>,
    left_out: AtomicU64,
}

/// The access log. Dropping the last handle writes what waits and ends the thread.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// A log that writes to `to`, by a thread of its own.
    ///
    /// # Errors
    /// When the operating system refuses another thread.
    pub fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = shared.clone();
        let thread = Tasks::thread("access-log", move || writer.write_all(to))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Hands over an entry, or drops it when too many wait.
    pub fn push(&self, entry: Entry) {
        self.push_item(Item::Request(entry));
    }

    /// The same for a head that is no request, unless its second has had enough of them, or of its client's; `now` is of the
    /// monotonic clock, the version of TLS the one by which the client came.
    pub fn push_refused(
        &self,
        (at, now): (Timestamp, Duration),
        trace: u128,
        line: Option<Arc<Line>>,
        (client, tls): (Option<IpAddr>, Option<&'static str>),
        error: HeadError,
    ) {
        let mut pace = self.shared.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = pace.admit(now, client) else {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        };
        drop(pace);
        self.push_item(Item::Refused(Refused {
            at,
            trace,
            line,
            client,
            tls,
            error,
            left_out,
        }));
    }

    fn push_item(&self, entry: Item) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.entries.len() >= MOST {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.entries.push(entry);
        let first = queue.entries.len() == 1;
        drop(queue);
        if first {
            self.shared.filled.notify_one();
        }
    }

    /// Heads that were refused without a line, since their second had enough of them.
    pub fn left_out(&self) -> u64 {
        self.shared.left_out.load(Ordering::Relaxed)
    }

    /// Entries that were dropped or could not be written.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic there has lost lines of a log, no more.
        }
    }
}

impl Shared {
    fn write_all(&self, mut to: impl Write) {
        let (mut batch, mut text, mut broken) = (Vec::with_capacity(64), Vec::new(), false);
        let mut calendar = Calendar::default();
        while self.take(&mut batch) {
            let mut entries = batch.drain(..).peekable();
            let mut made = 0;
            while let Some(entry) = entries.next() {
                match &entry {
                    Item::Request(entry) => line::write(entry, &mut calendar, &mut text),
                    Item::Refused(refused) => line::write_refused(refused, &mut calendar, &mut text),
                }
                made += 1;
                if text.len() >= PIECE || entries.peek().is_none() {
                    self.put(&mut to, &text, made, &mut broken);
                    made = 0;
                    text.clear();
                    text.shrink_to(2 * PIECE);
                }
            }
        }
    }

    fn put(&self, to: &mut impl Write, text: &[u8], entries: u64, broken: &mut bool) {
        match to.write_all(text).and_then(|()| to.flush()) {
            Ok(()) => *broken = false,
            Err(error) => {
                self.dropped.fetch_add(entries, Ordering::Relaxed);
                if !std::mem::replace(broken, true) {
                    tracing::error!(code = "GW-043", %error, "the access log cannot be written; entries are dropped");
                }
            }
        }
    }

    /// Waits for a batch and takes it; false once the log is closed and empty.
    fn take(&self, batch: &mut Vec<Item>) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = |queue: &mut Queue| queue.entries.is_empty() && !queue.closed;
        let queue = self
            .filled
            .wait_while(queue, empty)
            .unwrap_or_else(PoisonError::into_inner);
        // Gathers more, unless it is the end. Nothing rings meanwhile but the end: the queue is not empty.
        let open = |queue: &mut Queue| !queue.closed;
        let (mut queue, _) = self
            .filled
            .wait_timeout_while(queue, GATHER, open)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queue.entries, batch);
        !batch.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Word;
    use crate::report::Counters;
    use serde_json::{Value, json};
    use std::sync::mpsc;

    fn entry(path: &str) -> Entry {
        let counters = Counters::new(1);
        let lines = counters.apply(&empty_snapshot());
        Entry {
            at: Timestamp(1_709_209_845_007),
            trace: Trace {
                id: 0xabc,
                parent: Some(2),
                span: 3,
                sampled: true,
            },
            line: lines.unmatched,
            instance: None,
            client: Some([127, 0, 0, 1].into()),
            version: Version::Http11,
            method: Method::GET,
            host: "shop.example".into(),
            path: path.into(),
            tls: None,
            served: Served {
                status: 404,
                took: Duration::from_micros(42),
                attempts: 0,
                waited: false,
                own: Some(Word::DestinationNotFound),
            },
            kept: None,
            bytes: 7,
            cut: None,
        }
    }

    fn empty_snapshot() -> ondol_core::wire::proxy::Snapshot {
        serde_json::from_value(json!({
            "boot": {"system": "s", "boot": "b"}, "generation": 1, "gateways": [], "routes": [], "edges": [],
            "clusters": [], "issuers": {}, "trusted_proxies": [], "controller_socket": "c"
        }))
        .expect("a snapshot")
    }

    /// Gives every batch to the test; blocks until the test has taken it.
    struct Batches(mpsc::SyncSender<Vec<u8>>);

    impl Write for Batches {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_request_is_one_line_of_json_whatever_it_says() {
        let (sender, batches) = mpsc::sync_channel(8);
        let log = AccessLog::start(Batches(sender)).expect("a thread");
        log.push(entry("/a\"\n{\"status\":200}"));
        drop(log);
        let text = batches.iter().flatten().collect::<Vec<u8>>();
        assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 1);
        let line: Value = serde_json::from_slice(&text).expect("JSON");
        let expected = json!({
            "time": "2024-02-29T12:30:45.007Z", "level": "warn", "message": "request",
            "trace_id": "00000000000000000000000000000abc", "span_id": "0000000000000003", "parent_span_id": "0000000000000002",
            "target": "gateway", "client": "127.0.0.1", "protocol": "HTTP/1.1", "method": "GET", "host": "shop.example",
            "path": "/a\"\n{\"status\":200}", "status": 404, "bytes": 7, "duration_us": 42, "attempts": 0,
            "proxy_status": "destination_not_found"
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn who_sends_many_bad_heads_leaves_lines_to_others() {
        let (sender, batches) = mpsc::sync_channel(8);
        let log = AccessLog::start(Batches(sender)).expect("a thread");
        let at = (Timestamp(0), Duration::from_secs(7));
        let refused = |client: &str| {
            let client = (Some(client.parse().expect("an address")), None);
            log.push_refused(at, 1, None, client, HeadError::RequestLine);
        };
        (0..50).for_each(|host| refused(&format!("2001:db8::{host:x}"))); // All of one network.
        ["192.0.2.1", "192.0.2.2", "2001:db8:0:1::1"]
            .into_iter()
            .for_each(refused);
        assert_eq!(log.left_out(), 47);
        drop(log);
        let text = batches.iter().flatten().collect::<Vec<u8>>();
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect();
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line["client"].as_str(), line["left_out"].as_u64()))
            .collect();
        let expected = [
            (Some("2001:db8::"), None),
            (Some("2001:db8::1"), None),
            (Some("2001:db8::2"), None),
            (Some("192.0.2.1"), Some(47)),
            (Some("192.0.2.2"), None),
            (Some("2001:db8:0:1::1"), None),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_log_that_is_stuck_drops_and_counts_and_holds_nobody_up() {
        let (sender, batches) = mpsc::sync_channel(0);
        let log = AccessLog::start(Batches(sender)).expect("a thread");
        let one = entry("/");
        let pushed = 3 * MOST as u64;
        (0..pushed).for_each(|_| log.push(one.clone()));
        let dropped = log.dropped();
        assert!(dropped >= pushed - 2 * MOST as u64, "{dropped}");
        let reader = std::thread::scope(|scope| {
            let reader = scope.spawn(move || batches.iter().flatten().filter(|b| *b == b'\n').count() as u64);
            drop(log);
            reader.join().expect("counted")
        });
        assert_eq!(reader + dropped, pushed, "every entry was written or counted");
    }

    #[test]
    fn entries_that_cannot_be_written_are_counted_as_dropped() {
        let (sender, batches) = mpsc::sync_channel(1);
        drop(batches);
        let log = AccessLog::start(Batches(sender)).expect("a thread");
        let shared = log.shared.clone();
        (0..5).for_each(|_| log.push(entry("/")));
        drop(log);
        assert_eq!(shared.dropped.load(Ordering::Relaxed), 5);
    }
}
