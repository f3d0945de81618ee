//! Stable error codes. Each has a page `docs/errors/CODE.md` that says what to do; `cargo xtask tidy` checks it.
//!
//! Prefixes: `MF` manifests, `SV` supervisor, `ST` store, `EV` events, `SG` sagas, `GW` gateway and mesh, `AP` the
//! admin and service APIs, `DP` builds and replacements, `CL` the command line.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A stable code such as `GW-011`. Write it as a literal, so that `tidy` finds it and its page.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ErrorCode(pub Cow<'static, str>);

impl ErrorCode {
    /// A code from a literal.
    pub const fn new(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// The code's text, `GW-011`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the thing that failed may be tried again without harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Nothing was sent or done.
    Safe,
    /// It may have happened: only where a repeat has the same effect.
    IfIdempotent,
    /// The same call will fail again.
    Never,
}
