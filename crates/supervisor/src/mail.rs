//! What the other threads tell the loop, and what it answers.

use crate::error::Refusal;
use crate::wake::Wake;
use ondol_core::wire::supervision::{Exit, Reply, Request};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Unread mail; more waits at the sender's.
const LIMIT: usize = 1_024;

/// A message to the loop.
pub(crate) enum Mail {
    /// A client asks.
    Ask(Request, SyncSender<Answer>),
    /// A probe or a line of output says that this life is ready.
    Ready(u64),
    /// Why this life is not ready yet, for people.
    NotYet(u64, String),
    /// Run the command that tells whether this life is ready.
    Try(u64, SyncSender<bool>),
    /// This life closed its output.
    Drained(u64),
    /// The client of this job went away.
    Abandoned(u64),
}

/// An answer to a client.
pub(crate) enum Answer {
    Reply(Reply),
    Socket(OwnedFd),
    /// A job runs; `name` is the source of its lines.
    Job {
        end: Arc<JobEnd>,
        name: String,
    },
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Reply(refusal.into())
    }
}

/// How a running job tells its client that it ended.
pub(crate) struct JobEnd {
    pub life: u64,
    /// The number of its first line, or of a later one than any before it.
    pub first_line: u64,
    pub wake: Wake,
    exit: Mutex<Option<Exit>>,
}

impl JobEnd {
    pub(crate) fn new(life: u64, first_line: u64) -> std::io::Result<Self> {
        Ok(Self {
            life,
            first_line,
            wake: Wake::new()?,
            exit: Mutex::new(None),
        })
    }

    pub(crate) fn set(&self, exit: Exit) {
        *self.exit.lock().unwrap_or_else(PoisonError::into_inner) = Some(exit);
        self.wake.ring();
    }

    pub(crate) fn get(&self) -> Option<Exit> {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where to send mail.
#[derive(Clone)]
pub(crate) struct Inbox {
    sender: SyncSender<Mail>,
    wake: Arc<Wake>,
}

impl Inbox {
    /// The two ends.
    pub(crate) fn new() -> std::io::Result<(Self, Receiver<Mail>, Arc<Wake>)> {
        let (sender, receiver) = sync_channel(LIMIT);
        let wake = Arc::new(Wake::new()?);
        Ok((
            Self {
                sender,
                wake: wake.clone(),
            },
            receiver,
            wake,
        ))
    }

    /// False when the loop has ended.
    pub(crate) fn send(&self, mail: Mail) -> bool {
        let sent = self.sender.send(mail).is_ok();
        self.wake.ring();
        sent
    }
}
