//! What people and metrics see of subscriptions.

use super::answer::Outcome;
use super::config::Subscription;
use super::phase::{KeyState, Mode};
use ondol_core::clock::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A subscription in lists.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct View {
    /// `SERVICE.NAME`.
    pub name: String,
    /// Whose.
    pub service: String,
    /// Types of events that it wants.
    pub types: Vec<String>,
    /// Where they are pushed; `null`: pulled.
    pub push: Option<String>,
    /// Where it stands.
    pub state: Mode,
    /// Why it does not run, or reads no further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every wanted event up to here is done or in a row.
    pub position: u64,
    /// Last position of the log.
    pub head: u64,
    /// Events of the log, wanted or not, that it has not passed.
    pub lag: u64,
    /// Events under way.
    pub in_flight: usize,
    /// How many of the window may be under way now: `parallel`, or fewer while it catches up.
    pub at_once: usize,
    /// Keys that are tried again.
    pub retrying_keys: usize,
    /// Keys that wait for a person.
    pub parked_keys: usize,
    /// Their events.
    pub parked_events: usize,
    /// Events whose time has not come.
    pub delayed_keys: usize,
    /// Events acknowledged, in all lives.
    pub delivered: u64,
}

impl View {
    /// One whose loop does not answer.
    pub(crate) fn silent(config: &Subscription, reason: String) -> Self {
        Self {
            name: config.name.to_string(),
            service: config.name.service.to_string(),
            types: config.types.clone(),
            push: config.push.clone(),
            state: Mode::Waiting,
            reason: Some(reason),
            position: 0,
            head: 0,
            lag: 0,
            in_flight: 0,
            at_once: usize::from(config.parallel),
            retrying_keys: 0,
            parked_keys: 0,
            parked_events: 0,
            delayed_keys: 0,
            delivered: 0,
        }
    }
}

/// A subscription with its settings.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Details {
    /// As in lists.
    #[serde(flatten)]
    pub view: View,
    /// As the manifest has it.
    pub settings: Subscription,
}

/// The first event of a key, or any of its queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EventRef {
    /// Its place in the log.
    pub position: u64,
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A key with a row.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct KeyView {
    /// The key.
    pub key: Arc<str>,
    /// `delayed`, `retrying` or `parked`.
    pub state: KeyState,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried next; `null`: not by itself.
    pub wake_at: Option<Timestamp>,
    /// Attempts of the first event.
    pub attempts: u32,
    /// What the last attempt came to.
    pub error: Option<String>,
    /// How many events wait.
    pub events: usize,
    /// The first of them; absent when the log has it no more.
    pub first: Option<EventRef>,
}

/// An event that waits under a key.
#[derive(Clone, Debug, Serialize)]
pub struct Queued {
    /// Its place in the log.
    pub position: u64,
    /// The CloudEvent as it was appended.
    pub event: Box<RawValue>,
    /// Data that an operator put in the place of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited: Option<Box<RawValue>>,
}

/// A key with its events.
#[derive(Clone, Debug, Serialize)]
pub struct KeyDetails {
    /// As in lists.
    #[serde(flatten)]
    pub view: KeyView,
    /// Its first events, at most 100 and what fits into a page of the store (16 MiB).
    pub queue: Vec<Queued>,
}

/// What a redrive reaches, or would.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Redrive {
    /// Keys.
    pub keys: u64,
    /// Their events.
    pub events: u64,
    /// Nothing was done.
    pub dry_run: bool,
}

/// Where an event stands with one subscription that wants it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Standing {
    /// `SERVICE.NAME`.
    pub subscription: String,
    /// The event's place in the log.
    pub position: u64,
    /// `pending`, `in-flight`, `delayed`, `retrying`, `parked` or `delivered`.
    pub state: &'static str,
}

/// Attempts by what they came to, since this process began.
#[derive(Default, Debug)]
pub(crate) struct Outcomes([AtomicU64; Outcome::NAMES.len()]);

impl Outcomes {
    pub(crate) fn add(&self, outcome: &Outcome) {
        self.0[outcome.number()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::NAMES.into_iter().zip(counts).collect()
    }
}
