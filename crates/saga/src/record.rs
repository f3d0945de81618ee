//! Stored forms, versioned: the row of a saga, its log records, its start key, the audit.
//!
//! One record is written per commit; it holds the events that the commit made true, in order. Every form begins with
//! `v`. A field is only ever added, with a default that keeps the old meaning; anything else raises `v` and keeps the
//! old reader. Tests: golden files in `src/record/golden/`, read back by every later version.

use crate::error::SagaError;
use crate::phase::Phase;
use crate::state::{Op, State};
use bytes::Bytes;
use ondol_core::clock::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The version that is written.
pub const VERSION: u16 = 1;

/// What happened to a saga.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "kebab-case")]
pub enum Event {
    /// It was made.
    Started {
        /// The definition's hash.
        definition: String,
    },
    /// An attempt is about to be sent.
    Sent {
        /// Of which step.
        step: String,
        /// Which call.
        op: Op,
        /// Which attempt, from 1.
        n: u32,
    },
    /// An attempt, or a poll of it, came to something.
    Answered {
        /// Of which step.
        step: String,
        /// Which call.
        op: Op,
        /// Which attempt.
        n: u32,
        /// `done`, `failed`, `running`, `unknown`, `not-sent`, `misconfigured`, `unusable` or `not-made`.
        outcome: String,
        /// What was seen, when not well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// It turned back.
    Aborting {
        /// The step that failed, or that it was at.
        step: String,
        /// Why.
        reason: String,
    },
    /// A person must act.
    Held {
        /// `parked` or `stuck`.
        phase: Phase,
        /// At which step.
        step: String,
        /// Why.
        why: String,
    },
    /// An operator acted.
    Operator {
        /// Such as `retry`.
        action: String,
        /// On which step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It ended.
    Ended {
        /// `done` or `aborted`.
        phase: Phase,
    },
}

impl Event {
    /// The record's kind, when this event comes first in it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "saga-started",
            Self::Sent { .. } => "saga-sent",
            Self::Answered { .. } => "saga-answered",
            Self::Aborting { .. } => "saga-aborting",
            Self::Held { .. } => "saga-held",
            Self::Operator { .. } => "saga-operator",
            Self::Ended { .. } => "saga-ended",
        }
    }
}

/// The events of one commit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Happened {
    /// [`VERSION`].
    pub v: u16,
    /// In order.
    pub events: Vec<Event>,
}

/// Who started a saga, verified by the gateway.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Auth {
    /// `auth.sub`.
    pub subject: String,
    /// `auth.scope`: names parted by spaces.
    #[serde(default)]
    pub scope: String,
    /// `auth.roles`.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Who vouches.
    #[serde(default)]
    pub issuer: String,
}

/// The answer that was rendered once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FinalAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Location`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// `Content-Type`.
    pub content_type: String,
    /// JSON text.
    pub body: String,
}

/// A saga's row.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// [`VERSION`].
    pub v: u16,
    /// The definition's hash.
    pub definition: Arc<str>,
    /// When it was started.
    pub started: Timestamp,
    /// The correlation id.
    pub correlation: Arc<str>,
    /// Id of the event or call that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<Arc<str>>,
    /// The starter's `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Arc<str>>,
    /// Who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Arc<Auth>>,
    /// The start's body.
    pub input: Arc<Value>,
    /// Where it stands.
    pub state: State,
    /// Once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<FinalAnswer>,
}

/// A start key's row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedKey {
    /// [`VERSION`].
    pub v: u16,
    /// The saga's id.
    pub saga: String,
    /// SHA-256 of the start's body, in hexadecimal.
    pub body: String,
}

/// An operator's action in the audit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Audited {
    /// [`VERSION`].
    pub v: u16,
    /// Who.
    pub who: String,
    /// Such as `skip`.
    pub action: String,
    /// On which saga.
    pub saga: String,
    /// On which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the saga stood before and after.
    pub before: Phase,
    /// See `before`.
    pub after: Phase,
}

/// A form that says its version.
pub trait Stored: Serialize + DeserializeOwned {
    /// For people, when it cannot be read.
    const WHAT: &'static str;
    /// The version it was written as.
    fn version(&self) -> u16;
}

macro_rules! stored {
    ($($form:ty: $what:literal),*) => {$(
        impl Stored for $form {
            const WHAT: &'static str = $what;
            fn version(&self) -> u16 { self.v }
        }
    )*};
}
stored!(Saved: "saga", SavedKey: "start key", Happened: "log record", Audited: "audit entry");

/// Writes a stored form.
///
/// # Errors
/// [`SagaError::Stored`], which would be a mistake in this file.
pub fn write<T: Stored>(form: &T) -> Result<Bytes, SagaError> {
    // Most forms fit, so that the text does not move as it grows.
    let mut text = Vec::with_capacity(1_024);
    serde_json::to_writer(&mut text, form).map_err(|error| SagaError::Stored {
        what: T::WHAT,
        why: error.to_string(),
    })?;
    Ok(Bytes::from(text))
}

/// Reads a stored form of this or an earlier version.
///
/// # Errors
/// [`SagaError::Stored`] when it is of a later version or torn.
pub fn read<T: Stored>(body: &[u8]) -> Result<T, SagaError> {
    let wrong = |why: String| SagaError::Stored { what: T::WHAT, why };
    let form: T = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    match form.version() {
        v if v > VERSION => Err(wrong(format!("version {v} was written by a later Ondol"))),
        _ => Ok(form),
    }
}

#[cfg(test)]
mod tests;
