//! Pages of what a service has, for those who compare it with what others have: `{"items": [{"key", "at", …}], "next"}`.
//!
//! Ondol's reconciliation asks so. Keys rise in the order of their bytes; `at` is when the item last changed, and null for
//! what one statement says of one moment, since that is true whenever it is asked.

use axum::Json;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Problem, page};

/// Largest page.
const LARGEST: u32 = 1_000;

/// The query of such a page.
#[derive(Clone, Debug, Deserialize)]
pub struct After {
    limit: Option<u32>,
    /// The last key of the page before; empty at the beginning.
    #[serde(default)]
    pub after: String,
}

impl After {
    /// Rows to be read: one more than the page has, which says that there is more.
    ///
    /// # Errors
    /// 400 for a page of none or of more than 1,000.
    pub fn rows(&self) -> Result<i64, Problem> {
        let limit = self.limit.unwrap_or(LARGEST);
        if (1..=LARGEST).contains(&limit) {
            return Ok(i64::from(limit) + 1);
        }
        let rule = format!("limit is a number from 1 to {LARGEST}");
        Err(Problem::bad_request("bad_query", rule))
    }

    /// The page of these rows, each as [`item`] makes it.
    pub fn page(&self, rows: Vec<Value>) -> Json<Value> {
        let limit = self.limit.unwrap_or(LARGEST);
        let (items, next) = page(rows, limit, |item| item["key"].as_str().unwrap_or_default());
        Json(json!({ "items": items, "next": next }))
    }
}

/// An item: its key, when it last changed in milliseconds since 1970, and the members of `more`.
pub fn item(key: &str, at_ms: Option<i64>, mut more: Value) -> Value {
    let at = at_ms.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    more["key"] = key.into();
    more["at"] = at.map(|at| at.to_string()).into();
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_the_key_that_the_next_begins_after() {
        let rows = |count: i64| {
            (0..count)
                .map(|n| item(&n.to_string(), Some(n), json!({ "n": n })))
                .collect()
        };
        let after = |limit| After {
            limit,
            after: String::new(),
        };
        assert_eq!(
            (after(Some(2)).rows().ok(), after(None).rows().ok()),
            (Some(3), Some(1_001))
        );
        assert!(after(Some(0)).rows().is_err() && after(Some(1_001)).rows().is_err());
        let first = json!({ "key": "0", "at": "1970-01-01T00:00:00Z", "n": 0 });
        let Json(page) = after(Some(2)).page(rows(3));
        assert_eq!((&page["items"][0], &page["next"]), (&first, &json!("1")));
        assert_eq!(after(Some(2)).page(rows(2)).0["next"], Value::Null);
        assert_eq!(item("k", None, json!({}))["at"], Value::Null);
    }
}
