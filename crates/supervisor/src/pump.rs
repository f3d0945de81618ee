//! One thread that reads every child's output, so that no child ever waits for a reader.

use crate::line::Splitter;
use crate::logs::{Logs, Raw};
use crate::mail::{Inbox, Mail};
use crate::wake::{self, Wake};
use ondol_core::clock::{Clock, SharedClock};
use ondol_core::thread;
use regex::Regex;
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// One read of one pipe: as much as a pipe holds.
const AT_ONCE: usize = 64 << 10;

/// When everything has ended, for the rest to be read. Only a process that nobody could kill takes longer to close its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Characters of a line that are remembered.
const MOST_WORDS: usize = 200;

/// The start of the last line that one life wrote. A source may have lines of several: a role's process and its successor.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    /// `None`: it has said nothing.
    pub(crate) fn get(&self) -> Option<String> {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!words.is_empty()).then(|| words.clone())
    }

    fn set(&self, line: &Raw) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words.clear();
        words.extend(line.text.chars().take(MOST_WORDS));
    }
}

/// Hands pipes to the thread.
pub(crate) struct Pump {
    new: Mutex<Vec<Pipe>>,
    wake: Wake,
    stop: AtomicBool,
}

struct Pipe {
    from: OwnedFd,
    life: u64,
    words: LastWords,
    source: Arc<str>,
    stream: &'static str,
    splitter: Splitter,
    /// A line that says that this life is ready.
    ready: Option<Regex>,
    ended: bool,
}

impl Pump {
    /// Starts the thread.
    pub(crate) fn start(logs: Arc<Logs>, inbox: Inbox, clock: SharedClock) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let pump = Arc::new(Self {
            new: Mutex::default(),
            wake: Wake::new()?,
            stop: AtomicBool::new(false),
        });
        let this = pump.clone();
        let thread = thread::spawn("pump", move || this.run(&logs, &inbox, &*clock))?;
        Ok((pump, thread))
    }

    /// Reads these until they end, then sends `Mail::Drained`. What it gives is kept up to the last line.
    pub(crate) fn add(
        &self,
        life: u64,
        source: &Arc<str>,
        (out, err): (OwnedFd, OwnedFd),
        ready: Option<Regex>,
    ) -> LastWords {
        let words = LastWords::default();
        let pipe = |from, stream| Pipe {
            from,
            life,
            words: words.clone(),
            source: source.clone(),
            stream,
            splitter: Splitter::default(),
            ready: ready.clone(),
            ended: false,
        };
        self.new
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend([pipe(out, "out"), pipe(err, "err")]);
        self.wake.ring();
        words
    }

    /// The thread reads what there is to its end, for two seconds at most, and ends.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.ring();
    }

    fn run(&self, logs: &Logs, inbox: &Inbox, clock: &dyn Clock) {
        let mut pipes: Vec<Pipe> = Vec::new();
        let mut buffer = vec![0; AT_ONCE];
        let mut until = None;
        loop {
            pipes.append(&mut self.new.lock().unwrap_or_else(PoisonError::into_inner));
            if self.stop.load(Ordering::Acquire) {
                let until = *until.get_or_insert_with(|| clock.mono() + LAST_WORDS);
                if pipes.is_empty() || clock.mono() >= until {
                    return;
                }
            }
            let limit = until.map(|until| until.saturating_sub(clock.mono()));
            let readable = match self.wait(&pipes, limit) {
                Ok(readable) => readable,
                // Out of kernel memory for a moment: the bytes wait in their pipes.
                Err(_) => continue,
            };
            let mut ended = Vec::new();
            for (pipe, _) in pipes.iter_mut().zip(&readable).filter(|(_, readable)| **readable) {
                if pipe.read(&mut buffer, logs, inbox) == Left::Nothing {
                    pipe.ended = true;
                    ended.push(pipe.life);
                }
            }
            pipes.retain(|pipe| !pipe.ended);
            ended.dedup();
            for life in ended
                .into_iter()
                .filter(|life| pipes.iter().all(|pipe| pipe.life != *life))
            {
                inbox.send(Mail::Drained(life));
            }
        }
    }

    fn wait(&self, pipes: &[Pipe], limit: Option<Duration>) -> io::Result<Vec<bool>> {
        let mut polled: Vec<PollFd<'_>> = pipes
            .iter()
            .map(|pipe| PollFd::new(&pipe.from, PollFlags::IN))
            .collect();
        polled.push(PollFd::new(&self.wake, PollFlags::IN));
        wake::wait(&mut polled, limit)?;
        self.wake.clear();
        Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect())
    }
}

#[derive(PartialEq, Eq)]
enum Left {
    More,
    Nothing,
}

impl Pipe {
    fn read(&mut self, buffer: &mut [u8], logs: &Logs, inbox: &Inbox) -> Left {
        let mut lines = Vec::new();
        let mut emit = |text, continued| lines.push(Raw { text, continued });
        let left = match rustix::io::read(&self.from, &mut *buffer) {
            Ok(0) => {
                self.splitter.finish(&mut emit);
                Left::Nothing
            }
            Ok(n) => {
                self.splitter.push(&buffer[..n], &mut emit);
                Left::More
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Left::More,
            Err(_) => Left::Nothing,
        };
        if self
            .ready
            .as_ref()
            .is_some_and(|regex| lines.iter().any(|line| regex.is_match(&line.text)))
        {
            self.ready = None;
            inbox.send(Mail::Ready(self.life));
        }
        lines.last().into_iter().for_each(|line| self.words.set(line));
        logs.append(&self.source, self.stream, lines);
        left
    }
}
