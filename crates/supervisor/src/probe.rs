//! Asks a starting instance whether it is ready: a thread for each while it starts.
//!
//! A probe that succeeds is believed only when the socket that answered belongs to the instance's own tree; otherwise a
//! process that somebody forgot would make a new one look well. Where the supervisor itself listens (`fds`) that is known.

use crate::contain::Tree;
use crate::mail::{Inbox, Mail};
use crate::ports::loopback;
use crate::proc;
use ondol_core::clock::SharedClock;
use ondol_core::thread;
use ondol_core::wire::supervision::{Readiness, SocketMode};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The first pause between two questions; each is half as long again as the one before.
const FIRST: Duration = Duration::from_millis(20);
/// Of an answer to an HTTP probe: only its first line is read.
const HEAD: usize = 4 << 10;

/// What to ask.
pub(crate) struct Probe {
    pub life: u64,
    pub ready: Readiness,
    pub port: u16,
    pub socket: Option<SocketMode>,
    /// Longest pause.
    pub interval: Duration,
    /// For one question.
    pub timeout: Duration,
    pub tree: Tree,
}

/// Asks until it is dropped or the answer is yes.
#[derive(Debug)]
pub(crate) struct Prober(Arc<Cancel>);

#[derive(Debug, Default)]
struct Cancel {
    cancelled: Mutex<bool>,
    told: Condvar,
}

impl Drop for Prober {
    fn drop(&mut self) {
        *self.0.cancelled.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}

impl Cancel {
    /// False when cancelled before the pause was over.
    fn pause(&self, span: Duration) -> bool {
        let guard = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(guard, span, |cancelled| !*cancelled);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Prober {
    /// Starts to ask. A line of output is waited for by the pump, not here.
    pub(crate) fn start(probe: Probe, inbox: Inbox, clock: SharedClock) -> io::Result<Option<Self>> {
        if matches!(probe.ready, Readiness::Log(_)) {
            return Ok(None);
        }
        let cancel = Arc::new(Cancel::default());
        let prober = Self(cancel.clone());
        thread::spawn("probe", move || probe.run(&cancel, &inbox, &clock))?;
        Ok(Some(prober))
    }
}

impl Probe {
    fn run(&self, cancel: &Cancel, inbox: &Inbox, clock: &SharedClock) {
        let mut pause = FIRST.min(self.interval);
        let mut said = None;
        while cancel.pause(pause) {
            match self.ask(inbox, clock) {
                Ok(()) => {
                    inbox.send(Mail::Ready(self.life));
                    return;
                }
                Err(why) if said.as_ref() != Some(&why) => {
                    inbox.send(Mail::NotYet(self.life, why.clone()));
                    said = Some(why);
                }
                Err(_) => {}
            }
            pause = (pause + pause / 2).min(self.interval).max(Duration::from_millis(1));
        }
    }

    /// One question; why not, for people.
    fn ask(&self, inbox: &Inbox, clock: &SharedClock) -> Result<(), String> {
        match &self.ready {
            Readiness::Tcp => connect(self.port, self.timeout).map(drop)?,
            Readiness::Http(path) => get(self.port, path, self.timeout, clock)?,
            Readiness::Exec(_) => return self.execute(inbox),
            Readiness::Log(_) => return Err("waits for a line of its output".into()),
        }
        match self.socket {
            Some(SocketMode::Port) => self.is_own(),
            Some(SocketMode::Fds) | None => Ok(()),
        }
    }

    fn is_own(&self) -> Result<(), String> {
        let inodes = proc::listeners(self.port);
        if self.tree.pids().into_iter().any(|pid| proc::holds(pid, &inodes)) {
            return Ok(());
        }
        Err(format!(
            "port {} is answered by {}, which is not of this instance",
            self.port,
            proc::holder(self.port)
        ))
    }

    /// The loop starts the command, since only one thread may fork.
    fn execute(&self, inbox: &Inbox) -> Result<(), String> {
        let (reply, answer) = sync_channel(1);
        inbox.send(Mail::Try(self.life, reply));
        // The loop kills it at its timeout, and the channel closes with the loop.
        match answer.recv() {
            Ok(true) => Ok(()),
            Ok(false) => Err("its readiness command did not exit with 0".into()),
            Err(_) => Err("the readiness command was not run".into()),
        }
    }
}

fn connect(port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let failed = |error: io::Error| format!("port {port} does not answer: {error}");
    TcpStream::connect_timeout(&loopback(port), timeout.max(Duration::from_millis(1))).map_err(failed)
}

/// GET: 2xx. The connection is closed afterwards.
fn get(port: u16, path: &str, timeout: Duration, clock: &SharedClock) -> Result<(), String> {
    let deadline = clock.mono() + timeout;
    let mut stream = connect(port, timeout)?;
    let failed = |error: io::Error| format!("GET {path} on port {port}: {error}");
    stream
        .set_write_timeout(Some(timeout.max(Duration::from_millis(1))))
        .map_err(failed)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: ondol-probe\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let (mut head, mut filled) = ([0; HEAD], 0);
    while !head[..filled].contains(&b'\n') && filled < HEAD {
        let rest = deadline.saturating_sub(clock.mono());
        if rest.is_zero() {
            return Err(format!("GET {path} on port {port}: no answer within {timeout:?}"));
        }
        stream
            .set_read_timeout(Some(rest.max(Duration::from_millis(1))))
            .map_err(failed)?;
        match stream.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
    }
    match status(&head[..filled]) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(format!("GET {path} on port {port}: status {status}")),
        None => Err(format!("GET {path} on port {port}: not an HTTP answer")),
    }
}

/// The status of a first line such as `HTTP/1.1 200 OK`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn only_an_http_1_status_line_is_a_status() {
        let cases: [(&[u8], _); 5] = [
            (b"HTTP/1.1 204 No Content\r\nA: b\r\n", Some(204)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"SSH-2.0-OpenSSH\r\n", None),
            (b"HTTP/2 200\r\n", None),
            (b"", None),
        ];
        for (head, expected) in cases {
            assert_eq!(status(head), expected);
        }
    }
}
