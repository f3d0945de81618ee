//! Starts one process through the shim, and tells whether its program could be executed.
//!
//! Everything is started, and waited for, by the one thread of the loop: the kernel ends a job when the *thread* that forked
//! it ends, and what another thread waits for cannot be taken away from under it.

use crate::shim;
use ondol_core::unix;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// From the shim's start to the program's; a machine that needs longer is in no state to start anything.
const EXEC_WITHIN: Duration = Duration::from_secs(20);

/// What to start.
pub(crate) struct Order<'a> {
    pub shim: &'a [OsString],
    pub argv: &'a [String],
    /// The whole environment.
    pub env: &'a BTreeMap<OsString, OsString>,
    pub dir: &'a Path,
    /// Handed on as descriptor 3.
    pub listener: Option<BorrowedFd<'a>>,
    /// Killed by the kernel when the supervisor ends.
    pub with_supervisor: bool,
    /// Without, what it writes goes nowhere.
    pub captured: bool,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Process {
    pub pid: Pid,
    /// Stays with this process whatever becomes of its number.
    pub handle: OwnedFd,
    /// Standard output and error, non-blocking; none when not captured.
    pub output: Option<(OwnedFd, OwnedFd)>,
}

impl Process {
    /// SIGKILL to this process alone.
    pub(crate) fn kill(&self) {
        // It may have ended already.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// SIGUSR1 to it alone: what a role does by itself to end at its own pace. Only while it has not been waited for.
    pub(crate) fn retire(&self) {
        let _ = rustix::process::kill_process(self.pid, Signal::USR1);
    }

    /// SIGTERM to the group it leads, as a terminal or systemd would. Only while it has not been waited for.
    pub(crate) fn terminate(&self) {
        let _ = rustix::process::kill_process_group(self.pid, Signal::TERM);
    }
}

/// Starts it. `contain` is called with the pid while the process waits, before its program runs.
///
/// Blocks until the program is executed, a few milliseconds.
///
/// # Errors
/// Why not, for people.
pub(crate) fn spawn(order: &Order<'_>, contain: impl FnOnce(Pid)) -> Result<Process, String> {
    if !order.dir.is_dir() {
        return Err(format!("the folder {} does not exist", order.dir.display()));
    }
    let program = order.argv.first().ok_or("no program is named")?;
    let (mut ours, process) = fork(order).map_err(|error| format!("cannot fork: {error}"))?;
    contain(process.pid);
    release(&mut ours, order.listener)
        .and_then(|()| executed(&mut ours))
        .map_err(|error| {
            process.kill();
            describe(program, &error)
        })?;
    Ok(process)
}

/// Makes the pipes and the process that is the shim.
fn fork(order: &Order<'_>) -> io::Result<(UnixStream, Process)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(&order.shim[0]);
    command.arg0("ondol-shim").args(&order.shim[1..]);
    if order.with_supervisor {
        command.arg(shim::WITH).arg(std::process::id().to_string());
    }
    command
        .args(order.argv)
        .env_clear()
        .envs(order.env)
        .current_dir(order.dir);
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    let output = if order.captured {
        let (out, out_end) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err, err_end) = pipe_with(PipeFlags::CLOEXEC)?;
        for end in [&out, &err] {
            rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
        }
        command.stdout(Stdio::from(out_end)).stderr(Stdio::from(err_end));
        Some((out, err))
    } else {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        None
    };
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    // It cannot have been waited for yet, since only this thread waits, so the number is still its own.
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    Ok((ours, Process { pid, handle, output }))
}

/// Lets the shim go on.
fn release(ours: &mut UnixStream, listener: Option<BorrowedFd<'_>>) -> io::Result<()> {
    match listener {
        Some(fd) => unix::send_with_fd(ours, b".", fd),
        None => ours.write_all(b"."),
    }
}

/// Waits for the socket to be closed by exec.
fn executed(ours: &mut UnixStream) -> io::Result<()> {
    ours.set_read_timeout(Some(EXEC_WITHIN))?;
    let mut text = String::new();
    ours.read_to_string(&mut text)?;
    match text.parse() {
        _ if text.is_empty() => Ok(()),
        Ok(number) => Err(io::Error::from_raw_os_error(number)),
        Err(_) => Err(io::Error::other(text)),
    }
}

fn describe(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if program.contains('/') => {
            format!("`{program}` does not exist, or the interpreter it names does not")
        }
        io::ErrorKind::PermissionDenied if program.contains('/') => format!("`{program}` may not be executed"),
        // Not permitted is also what the kernel says of a folder on the path that may not be searched.
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            format!("there is no program `{program}` on its PATH that may be executed")
        }
        _ => format!("`{program}`: {error}"),
    }
}
