//! The supervisor's socket: a thread for each connection, so that a slow client holds up nobody but itself.

use crate::error::Refusal;
use crate::facts::Board;
use crate::logs::Logs;
use crate::mail::{Answer, Inbox, JobEnd, Mail};
use crate::sources::Filter;
use crate::wake::{Wake, wait_readable};
use ondol_core::clock::SharedClock;
use ondol_core::thread;
use ondol_core::wire::supervision::{LogLine, Reply, Request};
use ondol_core::wire::supervision_client::write_socket;
use ondol_core::wire::{encode, read_frame, write_frame};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Connections at once.
const LIMIT: usize = 128;
/// A client that has connected asks within this.
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// Between two sets of facts to one client: 20 a second, so that a storm of changes costs little.
const PACE: Duration = Duration::from_millis(50);
/// So much of that may be spent ahead: a few changes in a row are told at once.
const BURST: Duration = Duration::from_millis(500);
/// Of kept lines asked for.
const TAIL: usize = 100_000;

/// What every connection needs.
pub(crate) struct Server {
    pub inbox: Inbox,
    pub board: Arc<Board>,
    pub logs: Arc<Logs>,
    pub clock: SharedClock,
    pub stop: Wake,
    clients: AtomicUsize,
}

impl Server {
    pub(crate) fn new(inbox: Inbox, board: Arc<Board>, logs: Arc<Logs>, clock: SharedClock) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            inbox,
            board,
            logs,
            clock,
            stop: Wake::new()?,
            clients: AtomicUsize::new(0),
        }))
    }

    /// Accepts until [`Server::stop`] rings.
    pub(crate) fn start(self: &Arc<Self>, listener: UnixListener) -> io::Result<()> {
        let this = self.clone();
        thread::spawn("accept", move || this.accept(&listener)).map(drop)
    }

    /// Connections that are open.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Acquire)
    }

    fn accept(self: &Arc<Self>, listener: &UnixListener) {
        loop {
            match wait_readable([listener.as_fd(), self.stop.as_fd()], None) {
                Ok([_, true]) => return,
                Ok([true, _]) => {}
                _ => continue,
            }
            let Ok((mut stream, _)) = listener.accept() else {
                // The client has gone, or no descriptor is free: it would be readable again at once.
                let _ = wait_readable([self.stop.as_fd()], Some(PACE));
                continue;
            };
            if self.clients.fetch_add(1, Ordering::AcqRel) >= LIMIT {
                let full: Reply = Refusal::TooMany {
                    what: "connections",
                    limit: LIMIT,
                }
                .into();
                let _ = stream
                    .set_nonblocking(true)
                    .and_then(|()| write_frame(&mut stream, &full));
                self.clients.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            let this = self.clone();
            let served = thread::spawn("client", move || {
                // What goes wrong with a client is told to it or means that it is gone.
                let _ = this.serve(stream);
                this.clients.fetch_sub(1, Ordering::AcqRel);
            });
            if served.is_err() {
                self.clients.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(ASK_WITHIN))?;
        let request = match read_frame::<Request>(&mut stream) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                let why = Refusal::Invalid {
                    name: "the request".into(),
                    why: error.to_string(),
                };
                return write_frame(&mut stream, &Reply::from(why));
            }
        };
        match request {
            Request::Facts => match self.board.look() {
                Some(look) => write_frame(&mut stream, &Reply::Facts(Box::new((*look.facts).clone()))),
                None => write_frame(&mut stream, &Reply::from(Refusal::Stopping)),
            },
            Request::Watch => self.watch(&mut stream),
            Request::Logs {
                sources,
                tail,
                after,
                follow,
            } => {
                let tail = usize::try_from(tail).unwrap_or(TAIL).min(TAIL);
                self.logs(&mut stream, &Filter(sources), tail, after, follow)
            }
            Request::Shutdown => {
                self.ask(Request::Shutdown);
                self.watch(&mut stream)
            }
            other => match self.ask(other) {
                Answer::Reply(reply) => write_frame(&mut stream, &reply),
                Answer::Socket(socket) => write_socket(&mut stream, socket.as_fd()),
                Answer::Job { end, name } => {
                    let followed = self.follow_job(&mut stream, &name, &end);
                    if end.get().is_none() {
                        self.inbox.send(Mail::Abandoned(end.life));
                    }
                    followed
                }
            },
        }
    }

    /// Asks the loop; it answers everything or ends, which closes the channel.
    fn ask(&self, request: Request) -> Answer {
        let (reply, answer) = sync_channel(1);
        self.inbox.send(Mail::Ask(request, reply));
        answer.recv().unwrap_or_else(|_| Refusal::Stopping.into())
    }

    fn watch(&self, stream: &mut UnixStream) -> io::Result<()> {
        let changed = self.board.listen()?;
        let (mut seen, mut due) = (0, Duration::ZERO);
        loop {
            changed.clear();
            if let Some(look) = self.board.look() {
                if look.facts.version != seen {
                    seen = look.facts.version;
                    due = due.max(self.clock.mono()) + PACE;
                    write_frame(stream, &Reply::Facts(Box::new((*look.facts).clone())))?;
                }
                if look.closed {
                    return Ok(());
                }
            }
            // What a client sends now can only be its end.
            let now = self.clock.mono();
            let pause = due.saturating_sub(now + BURST);
            if !pause.is_zero() && wait_readable([stream.as_fd()], Some(pause))?[0] {
                return Ok(());
            }
            if wait_readable([stream.as_fd(), changed.as_fd()], None)?[0] {
                return Ok(());
            }
        }
    }

    fn logs(
        &self,
        stream: &mut UnixStream,
        filter: &Filter,
        tail: usize,
        after: Option<u64>,
        follow: bool,
    ) -> io::Result<()> {
        let new = self.logs.listen()?;
        let mut cursor = self.logs.start(filter, tail, after);
        loop {
            new.clear();
            let closed = self.board.look().is_some_and(|look| look.closed);
            self.send_lines(stream, filter, &mut cursor)?;
            if !follow || closed {
                return Ok(());
            }
            let [gone, _] = wait_readable([stream.as_fd(), new.as_fd()], None)?;
            if gone {
                return Ok(());
            }
        }
    }

    fn follow_job(&self, stream: &mut UnixStream, name: &str, end: &JobEnd) -> io::Result<()> {
        let filter = Filter(vec![name.to_owned()]);
        let new = self.logs.listen()?;
        let mut cursor = end.first_line;
        loop {
            new.clear();
            // Looked at before the lines: those of an ended job are all there.
            let exit = end.get();
            self.send_lines(stream, &filter, &mut cursor)?;
            if let Some(exit) = exit {
                return write_frame(stream, &Reply::JobEnded(exit));
            }
            let [gone, ..] = wait_readable([stream.as_fd(), new.as_fd(), end.wake.as_fd()], None)?;
            if gone {
                return Ok(());
            }
        }
    }

    /// Sends what there is, many lines in one write.
    fn send_lines(&self, stream: &mut UnixStream, filter: &Filter, cursor: &mut u64) -> io::Result<()> {
        let mut out = io::BufWriter::with_capacity(64 << 10, stream);
        let mut send = |line: &LogLine| out.write_all(&encode(&Reply::Log(line.clone()))?);
        self.logs.drain(filter, cursor, &mut send)?;
        out.flush()
    }
}
