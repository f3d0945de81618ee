//! What a participant says: a status and a JSON body, small enough to be kept in the barrier's row.

use serde_json::{Value, json};

/// An answer, as it is sent and as it is stored.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON; an RFC 9457 problem when the status is 400 or more.
    pub body: Value,
}

impl Answer {
    /// 200 with this body.
    pub fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    /// What an action that comes after its own compensation is told: 409, and nothing has happened.
    pub fn late() -> Self {
        Self {
            status: 409,
            body: json!({
                "title": "This step has been compensated already",
                "status": 409,
                "reason": "compensated",
            }),
        }
    }

    /// Whether the step was done: a 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}
