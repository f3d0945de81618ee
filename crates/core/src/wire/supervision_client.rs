//! The client of the supervisor: one method per [`Request`], blocking, a connection each.
//!
//! Cheap to make and to clone; it holds a path and no connection. Streams ([`Stream`]) are iterators that end when the
//! supervisor ends them; [`Stream::canceller`] ends one from another thread. From async code call it on a blocking thread.
//!
//! Not here: waiting for a supervisor to appear (whoever starts one), retries. Tests: `crates/supervisor/tests`.

use super::supervision::{
    Bind, Bound, Exit, Facts, HandOver, InstanceSpec, JobSpec, LogLine, Reply, Request, SocketName,
};
use super::{encode, read_frame, write_frame};
use crate::error::ErrorCode;
use crate::id::{InstanceId, ServiceName};
use crate::unix;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the supervisor of a system listens, under the system's folder.
pub const SOCKET: &str = ".ondol/run/supervisor.sock";

/// For answers that need no waiting.
const SOON: Duration = Duration::from_secs(30);
/// For answers that come when a process has ended; longer than any sensible `stop_within`.
const LONG: Duration = Duration::from_secs(15 * 60);

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: nothing was asked.
    #[error("no supervisor listens at {}", path.display())]
    Absent {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The supervisor said no.
    #[error("{message}")]
    Refused {
        /// Its code.
        code: ErrorCode,
        /// Its words.
        message: String,
    },
    /// The connection broke or nothing came in time: it may have been done.
    #[error("the connection to the supervisor broke")]
    Io(#[from] io::Error),
    /// It answered something that fits no such request.
    #[error("the supervisor answered {0}: it is of another version")]
    Unexpected(&'static str),
}

impl ClientError {
    /// Stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Absent { .. } => ErrorCode::new("SV-020"),
            Self::Refused { code, .. } => code.clone(),
            Self::Io(_) => ErrorCode::new("SV-021"),
            Self::Unexpected(_) => ErrorCode::new("SV-022"),
        }
    }
}

/// A result of this client.
pub type Result<T> = std::result::Result<T, ClientError>;

/// Asks the supervisor of one system.
#[derive(Clone, Debug)]
pub struct SupervisorClient {
    path: PathBuf,
}

/// Which lines to read.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Sources, or services for all their instances; empty: all.
    pub sources: Vec<String>,
    /// At most so many kept lines, the latest.
    pub tail: u32,
    /// Only lines after this number.
    pub after: Option<u64>,
    /// Then new ones as they come.
    pub follow: bool,
}

impl SupervisorClient {
    /// For the system in the folder `root`. Connects to nothing.
    pub fn new(root: &Path) -> Self {
        Self {
            path: root.join(SOCKET),
        }
    }

    /// The whole state, now.
    ///
    /// # Errors
    /// [`ClientError`], as for every method here.
    pub fn facts(&self) -> Result<Facts> {
        match self.ask(&Request::Facts, SOON)? {
            Reply::Facts(facts) => Ok(*facts),
            other => Err(unexpected(&other)),
        }
    }

    /// The whole state at once and again whenever it changed, joined to 20 a second.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn watch(&self) -> Result<Stream<Facts>> {
        self.stream(&Request::Watch, |reply| match reply {
            Reply::Facts(facts) => Ok(*facts),
            other => Err(unexpected(&other)),
        })
    }

    /// Binds what is not bound yet; all or, on an error, nothing.
    ///
    /// # Errors
    /// A refusal names who holds the port.
    pub fn listen(&self, sockets: Vec<(SocketName, Bind)>) -> Result<Vec<(SocketName, Bound)>> {
        match self.ask(&Request::Listen(sockets), SOON)? {
            Reply::Bound(bound) => Ok(bound),
            other => Err(unexpected(&other)),
        }
    }

    /// Closes all sockets but these. Copies that were taken stay open with their takers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn retain(&self, sockets: Vec<SocketName>) -> Result<()> {
        self.done(&Request::Retain(sockets), SOON)
    }

    /// A copy of a listening socket, non-blocking and close-on-exec.
    ///
    /// # Errors
    /// A refusal when there is no such socket.
    pub fn take_socket(&self, name: &SocketName) -> Result<OwnedFd> {
        let mut stream = self.open(&Request::TakeSocket(name.clone()), SOON)?;
        let mut head = [0; 4];
        let (got, fd) = unix::recv_with_fd(&stream, &mut head)?;
        stream.read_exact(&mut head[got..])?;
        let reply = read_frame::<Reply>(&mut head.chain(stream))?;
        match (checked(reply)?, fd) {
            (Reply::Socket, Some(fd)) => Ok(fd),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// A port for each instance, the same as before for one that had one.
    ///
    /// # Errors
    /// A refusal when no port is free.
    pub fn ports(&self, instances: Vec<InstanceId>) -> Result<Vec<(InstanceId, u16)>> {
        match self.ask(&Request::Ports(instances), SOON)? {
            Reply::Ports(ports) => Ok(ports),
            other => Err(unexpected(&other)),
        }
    }

    /// Starts an instance; returns once it is spawned, not ready yet.
    ///
    /// # Errors
    /// A refusal when it runs already, its port is taken, or its program cannot be started.
    pub fn start(&self, spec: InstanceSpec) -> Result<()> {
        self.done(&Request::Start(Box::new(spec)), SOON)
    }

    /// Ends an instance; returns once its whole tree is gone.
    ///
    /// # Errors
    /// A refusal when there is no such instance.
    pub fn stop(&self, id: &InstanceId) -> Result<()> {
        self.done(&Request::Stop(id.clone()), LONG)
    }

    /// Ends an instance and starts it again; returns once it is spawned.
    ///
    /// # Errors
    /// As [`SupervisorClient::stop`] and [`SupervisorClient::start`].
    pub fn restart(&self, id: &InstanceId) -> Result<()> {
        self.done(&Request::Restart(id.clone()), LONG)
    }

    /// Runs a role by another program; returns once that is spawned, with `hand_over` once it serves.
    ///
    /// # Errors
    /// A refusal when there is no such role, or when its successor did not come to serve; the old one serves on then.
    pub fn upgrade(&self, role: &ServiceName, program: &Path, hand_over: Option<HandOver>) -> Result<()> {
        let request = Request::Upgrade {
            role: role.clone(),
            program: program.to_owned(),
            hand_over,
        };
        self.done(&request, LONG)
    }

    /// Says that the role of this life serves.
    ///
    /// # Errors
    /// A refusal when there is no such life.
    pub fn serving(&self, life: u64) -> Result<()> {
        self.done(&Request::Serving(life), SOON)
    }

    /// Runs a job; its lines, then its end. Dropping the stream kills the job and its tree.
    ///
    /// # Errors
    /// A refusal when a job of this name runs or its program cannot be started.
    pub fn job(&self, spec: JobSpec) -> Result<Stream<JobEvent>> {
        self.stream(&Request::RunJob(Box::new(spec)), |reply| match reply {
            Reply::Log(line) => Ok(JobEvent::Line(line)),
            Reply::JobEnded(exit) => Ok(JobEvent::Ended(exit)),
            other => Err(unexpected(&other)),
        })
    }

    /// Runs a job to its end, showing each line.
    ///
    /// # Errors
    /// As [`SupervisorClient::job`].
    pub fn run_job(&self, spec: JobSpec, mut on_line: impl FnMut(LogLine)) -> Result<Exit> {
        for event in self.job(spec)? {
            match event? {
                JobEvent::Line(line) => on_line(line),
                JobEvent::Ended(exit) => return Ok(exit),
            }
        }
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }

    /// Kept lines, oldest first, then with `follow` new ones as they come.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn logs(&self, query: LogQuery) -> Result<Stream<LogLine>> {
        let LogQuery {
            sources,
            tail,
            after,
            follow,
        } = query;
        self.stream(
            &Request::Logs {
                sources,
                tail,
                after,
                follow,
            },
            |reply| match reply {
                Reply::Log(line) => Ok(line),
                other => Err(unexpected(&other)),
            },
        )
    }

    /// Stops everything in order and ends the supervisor. The stream ends when it is gone.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn shutdown(&self) -> Result<Stream<Facts>> {
        self.stream(&Request::Shutdown, |reply| match reply {
            Reply::Facts(facts) => Ok(*facts),
            other => Err(unexpected(&other)),
        })
    }

    fn open(&self, request: &Request, patience: Duration) -> Result<UnixStream> {
        let mut stream = unix::connect(&self.path).map_err(|source| ClientError::Absent {
            path: self.path.clone(),
            source,
        })?;
        stream.set_write_timeout(Some(SOON))?;
        stream.set_read_timeout(Some(patience))?;
        write_frame(&mut stream, request)?;
        Ok(stream)
    }

    fn ask(&self, request: &Request, patience: Duration) -> Result<Reply> {
        let mut stream = self.open(request, patience)?;
        checked(read_frame(&mut stream)?)
    }

    fn done(&self, request: &Request, patience: Duration) -> Result<()> {
        match self.ask(request, patience)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn stream<T>(&self, request: &Request, read: fn(Reply) -> Result<T>) -> Result<Stream<T>> {
        let from = self.open(request, SOON)?;
        from.set_read_timeout(None)?;
        Ok(Stream {
            from: io::BufReader::new(from),
            read,
            ended: false,
        })
    }
}

/// What comes from a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobEvent {
    /// A line it wrote.
    Line(LogLine),
    /// Its end, once.
    Ended(Exit),
}

/// Replies as they come. Ends when the supervisor closes, after the first error, or when cancelled.
#[derive(Debug)]
pub struct Stream<T> {
    from: io::BufReader<UnixStream>,
    read: fn(Reply) -> Result<T>,
    ended: bool,
}

/// Ends a [`Stream`] from another thread.
#[derive(Debug)]
pub struct Canceller(UnixStream);

impl Canceller {
    /// The stream ends at once; the supervisor sees the connection close.
    pub fn cancel(&self) {
        // An error means that it is closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl<T> Stream<T> {
    /// A handle that ends this stream.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn canceller(&self) -> io::Result<Canceller> {
        self.from.get_ref().try_clone().map(Canceller)
    }
}

impl<T> Iterator for Stream<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = match read_frame::<Reply>(&mut self.from) {
            Ok(None) => None,
            Ok(reply) => Some(checked(reply).and_then(self.read)),
            Err(error) => Some(Err(error.into())),
        };
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

/// A refusal becomes an error, and so does a missing answer.
fn checked(reply: Option<Reply>) -> Result<Reply> {
    match reply {
        Some(Reply::Error { code, message }) => Err(ClientError::Refused {
            code: ErrorCode(code.into()),
            message,
        }),
        Some(other) => Ok(other),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

fn unexpected(reply: &Reply) -> ClientError {
    ClientError::Unexpected(match reply {
        Reply::Facts(_) => "facts",
        Reply::Bound(_) => "sockets",
        Reply::Socket => "a socket",
        Reply::Ports(_) => "ports",
        Reply::Log(_) => "a log line",
        Reply::JobEnded(_) => "a job's end",
        Reply::Done => "done",
        Reply::Error { .. } => "an error",
    })
}

/// Writes a reply with a descriptor beside it: the supervisor's side of [`SupervisorClient::take_socket`].
///
/// # Errors
/// Those of the socket.
pub fn write_socket(stream: &mut UnixStream, fd: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
    unix::send_with_fd(stream, &encode(&Reply::Socket)?, fd)
}
