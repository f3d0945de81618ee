//! Signals as readable descriptors: a child ended; somebody asks for the end.

use signal_hook::consts::{FORBIDDEN, SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use signal_hook::low_level::pipe::register;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Registered for the life of the process.
#[derive(Debug)]
pub(crate) struct Signals {
    told: UnixStream,
    child: UnixStream,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let (told, told_end) = UnixStream::pair()?;
        let (child, child_end) = UnixStream::pair()?;
        told.set_nonblocking(true)?;
        child.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            register(signal, told_end.try_clone()?)?;
        }
        register(SIGCHLD, child_end)?;
        // A terminal that closes is no reason to stop: the flag is set and never read.
        signal_hook::flag::register(SIGHUP, std::sync::Arc::default())?;
        own_ignored()?;
        Ok(Self { told, child })
    }

    /// Readable after SIGTERM or SIGINT.
    pub(crate) fn told(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }

    /// Readable after SIGCHLD.
    pub(crate) fn child(&self) -> BorrowedFd<'_> {
        self.child.as_fd()
    }

    /// Whether the end was asked for since the last look.
    pub(crate) fn take_told(&self) -> bool {
        take(&self.told)
    }

    pub(crate) fn take_child(&self) {
        take(&self.child);
    }
}

/// Signals that whoever started the supervisor had ignored (a shell does so for what it starts in the background) stay
/// without effect on it, but no longer on its children: exec keeps what is ignored and resets what has a handler.
fn own_ignored() -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    // Rust ignores SIGPIPE itself, and gives children the default back.
    let ignored = (1..=31).filter(|signal| mask & (1 << (signal - 1)) != 0 && *signal != SIGPIPE);
    for signal in ignored.filter(|signal| !FORBIDDEN.contains(signal)) {
        signal_hook::flag::register(signal, std::sync::Arc::default())?;
    }
    Ok(())
}

fn take(mut from: &UnixStream) -> bool {
    let mut any = false;
    while from.read(&mut [0; 64]).is_ok_and(|n| n > 0) {
        any = true;
    }
    any
}
