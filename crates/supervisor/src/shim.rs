//! Between fork and exec: the program re-executed for the few calls that must happen in the child itself.
//!
//! A fresh process of its own may run any code, where a forked one may not; so the supervisor needs no `unsafe`. The shim
//! gets a socket as standard input. It becomes the leader of a session, waits there for one byte, and the listening socket
//! beside it if there is one, so that the supervisor can put it in its cgroup first; then it executes the program. The
//! socket closes by itself when that works, and otherwise carries the number of the error.
//!
//! Tests: `tests/processes.rs`.

use ondol_core::unix;
use rustix::fs::{Mode, OFlags};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Dies with the process of this pid: `--with PID`.
pub(crate) const WITH: &str = "--with";
/// The first descriptor that is handed on, as systemd fixed it.
const FIRST_FD: i32 = 3;

/// What the hidden subcommand does: `args` are those after its name. Never returns: it becomes the program, or ends with 127.
pub fn shim(args: impl IntoIterator<Item = OsString>) -> ! {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let outcome = supervisor_socket().and_then(|mut status| {
        let Err(error) = become_program(&mut args, &status);
        // The supervisor may be gone: then nobody is left to be told.
        let _ = match error.raw_os_error() {
            Some(number) => write!(status, "{number}"),
            None => write!(status, "{error}"),
        };
        Err::<(), _>(error)
    });
    if let Err(error) = outcome {
        eprintln!("{error}");
    }
    std::process::exit(127)
}

/// Standard input, moved out of the program's way and closed by exec; `/dev/null` takes its place.
fn supervisor_socket() -> io::Result<UnixStream> {
    let socket = fcntl_dupfd_cloexec(rustix::stdio::stdin(), 10)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(null)?;
    Ok(UnixStream::from(socket))
}

fn become_program(args: &mut Vec<OsString>, socket: &UnixStream) -> Result<std::convert::Infallible, io::Error> {
    if args.first().is_some_and(|arg| arg == WITH) {
        die_with(args.get(1))?;
        args.drain(..2);
    }
    setsid()?;
    let (got, listener) = unix::recv_with_fd(socket, &mut [0])?;
    if got == 0 {
        return Err(io::Error::other("the supervisor went away"));
    }
    let (program, rest) = args
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command.args(rest);
    if let Some(listener) = listener {
        hand_on(listener)?;
        command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "http");
        command.env("LISTEN_PID", std::process::id().to_string());
    }
    Err(command.exec())
}

/// The kernel kills this process when its parent's thread ends. A parent that ended before that was said is seen by asking
/// for it afterwards.
fn die_with(pid: Option<&OsString>) -> io::Result<()> {
    let pid = pid.and_then(|pid| pid.to_str()?.parse().ok()).and_then(Pid::from_raw);
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if pid.is_none() || getppid() != pid {
        return Err(io::Error::other("the supervisor went away"));
    }
    Ok(())
}

/// Makes `listener` the descriptor 3 that survives exec.
fn hand_on(listener: OwnedFd) -> io::Result<()> {
    let third = if listener.as_raw_fd() == FIRST_FD {
        listener
    } else {
        fcntl_dupfd_cloexec(listener.as_fd(), FIRST_FD)?
    };
    if third.as_raw_fd() != FIRST_FD {
        return Err(io::Error::other("descriptor 3 is in use"));
    }
    fcntl_setfd(&third, FdFlags::empty())?;
    // Not closed here: it belongs to the program now.
    let _ = third.into_raw_fd();
    Ok(())
}
