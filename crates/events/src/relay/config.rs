//! What is relayed. Made from `outbox: true` of a manifest.

use ondol_core::id::ServiceName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The outbox of one service.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// Whose.
    pub service: ServiceName,
    /// Where its table `ondol_outbox` is: `sqlite:///absolute/path` or `postgres://…`.
    pub database: String,
}

/// Without the database: it may hold a password.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
