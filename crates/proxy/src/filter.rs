//! What is decided of a request between its route and its cluster: who sends it, whether they may, how often.
//!
//! Each filter is a function over a head; one that refuses gives a [`Denied`], which the proxy turns into an answer of
//! its own. Their order at the gateway: [`client`], [`identity`]'s strip, [`trace`], the route, [`cors`], [`auth`], [`limit`],
//! [`change`], [`session`], [`affinity`].
//! On edges only [`trace`] and [`affinity`] apply: what a service says of its caller's identity is passed on as it is.
//!
//! Not here: what is legal in a head (`check`), how an answer looks (`answer`).

pub mod affinity;
pub mod auth;
pub mod change;
pub mod client;
pub mod cors;
pub mod identity;
mod issuer;
pub mod keys;
pub mod limit;
pub mod priority;
pub mod session;
pub(crate) mod token;
pub mod trace;

use crate::answer::Word;
use http::StatusCode;
use ondol_core::error::ErrorCode;

/// A refusal. Nothing was sent to the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    /// What the client is answered.
    pub status: StatusCode,
    /// Stable code.
    pub code: ErrorCode,
    /// What is wrong with this request.
    pub detail: String,
    /// The error word in `Proxy-Status`.
    pub word: Word,
    /// Fields that the answer must carry, by lower-case name.
    pub fields: Vec<(&'static str, String)>,
}

impl Denied {
    fn new(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            word: Word::HttpRequestDenied,
            fields: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}
