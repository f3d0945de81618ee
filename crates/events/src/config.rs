//! Which types of events there are and who publishes them. Made from `events.publishes` of the manifests.

use ondol_core::id::ServiceName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A type that a service publishes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PublishedType {
    /// Such as `order.confirmed.v1`; 1 to 190 of letters, digits, `-`, `_` and `.`, so that its stream has a name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The one service that may publish it.
    pub publisher: ServiceName,
    /// JSON Schema that `data` of each new event must follow; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}
