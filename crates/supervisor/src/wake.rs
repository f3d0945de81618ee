//! Waking threads that wait in `poll`: an eventfd each, and bells that wake many.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Wakes one thread; ringing many times before it looks is once.
#[derive(Debug)]
pub(crate) struct Wake(OwnedFd);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn ring(&self) {
        // Fails only when 2^64 rings are pending, and then it is rung.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Takes what was rung so far.
    pub(crate) fn clear(&self) {
        // Fails when nothing was rung.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Wakes everyone who listens; a listener leaves by dropping its [`Wake`].
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<Vec<Weak<Wake>>>);

impl Bell {
    pub(crate) fn listen(&self) -> io::Result<Arc<Wake>> {
        let wake = Arc::new(Wake::new()?);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&wake));
        Ok(wake)
    }

    pub(crate) fn ring(&self) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.upgrade().inspect(|wake| wake.ring()).is_some());
    }
}

/// Waits until one of `fds` can be read or has ended, at most `limit`; true for each that has.
///
/// # Errors
/// Those of `poll`; a signal is none, it looks like the time being over.
pub(crate) fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    limit: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    wait(&mut polled, limit)?;
    Ok(polled.map(|fd| !fd.revents().is_empty()))
}

/// As [`wait_readable`] for a list made by the caller.
pub(crate) fn wait(polled: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<()> {
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    match poll(polled, limit.as_ref()) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::INTR) => {
            polled.iter_mut().for_each(PollFd::clear_revents);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
