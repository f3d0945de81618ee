//! A client's `Idempotency-Key` on the public API: asked twice, done once, told twice.
//!
//! The key is a row that commits in the transaction of the effect. Never before it (a crash between the two would
//! swallow the effect for ever), never after it (a crash would let a repeat do it again).
//!
//! | the same key comes | answer |
//! |---|---|
//! | with the same body, later | the stored answer |
//! | with another body | 422 `key_reused` |
//! | while the first still runs here | 409 `in_progress` |
//! | while the first still runs in another instance | waits for that, then as above |
//!
//! A key lives in the scope of one subject and one route, so nobody can meet another's answers. Without a key every
//! request is new. What is a definite refusal (409) is kept, too; after a failure of ours (5xx) nothing is, and the
//! repeat is a first one.
//!
//! ```no_run
//! # use axum::{http::HeaderMap, response::Response};
//! # use shop_kit::{Answer, Caller, Database, JsonBody, Keys, Problem, reply};
//! # async fn deposit(keys: Keys, database: Database, caller: Caller, headers: HeaderMap, body: JsonBody<i64>)
//! # -> Result<Response, Problem> {
//! let claim = keys.claim(&caller.subject, "POST /api/wallet/deposits", &headers, &body.bytes)?;
//! let mut tx = database.write().await?;
//! if let Some(answer) = claim.enter(&mut tx).await? {
//!     return Ok(reply(answer));
//! }
//! // … the effect, in `tx` …
//! let answer = Answer::ok(serde_json::json!({ "balance": body.value }));
//! claim.keep(&mut tx, &answer).await?;
//! tx.commit().await?;
//! # Ok(reply(answer)) }
//! ```
//!
//! Rows are not purged: a key can be repeated for as long as the service lives.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, StatusCode};
use ondol_sdk::Answer;

use crate::{Problem, Tx};

/// Longest key, in bytes.
const MAX_KEY_LEN: usize = 255;

/// The keys whose requests run in this process, at most one per open connection.
#[derive(Clone, Default, Debug)]
pub struct Keys {
    running: Arc<Mutex<HashSet<Id>>>,
}

/// Scope and key.
type Id = (String, String);

/// One request's hold on its key. Dropped, it is let go of.
#[derive(Debug)]
pub struct Claim {
    keys: Keys,
    /// `None`: the client sent no key.
    id: Option<Id>,
    fingerprint: String,
}

impl Keys {
    /// The table, to be listed among the service's migrations.
    pub const SCHEMA: &str = "\
CREATE TABLE public_keys (
    scope       TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL, -- SHA-256 of the body
    status      BIGINT,        -- the answer; never empty once committed
    answer      TEXT,
    PRIMARY KEY (scope, key)
)";

    /// Takes hold of the request's key for `subject` on `route`.
    ///
    /// # Errors
    /// 400 for a key that is empty, too long or not printable; 409 `in_progress`.
    pub fn claim(&self, subject: &str, route: &str, headers: &HeaderMap, body: &[u8]) -> Result<Claim, Problem> {
        let id = key(headers)?.map(|key| (format!("{subject} {route}"), key));
        if let Some(id) = &id
            && !self
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id.clone())
        {
            let problem = Problem::conflict("in_progress", "A request with this Idempotency-Key is still running");
            return Err(problem.retry_after(1));
        }
        let fingerprint = digest(&SHA256, body)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Claim {
            keys: self.clone(),
            id,
            fingerprint,
        })
    }
}

impl Claim {
    /// Enters the key in the effect's transaction. `Some`: it was there, give this answer and let `tx` go.
    ///
    /// # Errors
    /// 422 `key_reused`; the database's.
    pub async fn enter(&self, tx: &mut Tx) -> Result<Option<Answer>, Problem> {
        let Some((scope, key)) = &self.id else { return Ok(None) };
        let insert = "INSERT INTO public_keys (scope, key, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let insert = sqlx::query(insert)
            .bind(scope.clone())
            .bind(key.clone())
            .bind(self.fingerprint.clone());
        if insert.execute(&mut **tx).await?.rows_affected() == 1 {
            return Ok(None);
        }
        let select = "SELECT fingerprint, status, answer FROM public_keys WHERE scope = $1 AND key = $2";
        let select = sqlx::query_as::<_, (String, i64, String)>(select)
            .bind(scope.clone())
            .bind(key.clone());
        let (fingerprint, status, answer) = select.fetch_one(&mut **tx).await?;
        if fingerprint != self.fingerprint {
            let title = "This Idempotency-Key was used with another body; take a new key for a new request";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", title));
        }
        let body = serde_json::from_str(&answer).map_err(|error| Problem::internal(&error))?;
        Ok(Some(Answer {
            status: u16::try_from(status).unwrap_or(500),
            body,
        }))
    }

    /// Keeps the answer beside the effect.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep(&self, tx: &mut Tx, answer: &Answer) -> Result<(), Problem> {
        let Some((scope, key)) = &self.id else { return Ok(()) };
        let update = sqlx::query("UPDATE public_keys SET status = $3, answer = $4 WHERE scope = $1 AND key = $2");
        let update = update.bind(scope.clone()).bind(key.clone());
        update
            .bind(i64::from(answer.status))
            .bind(answer.body.to_string())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.keys
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(id);
        }
    }
}

/// The header's key, quoted or bare.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().map(str::trim).unwrap_or_default();
    let bare = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    if bare.is_empty() || bare.len() > MAX_KEY_LEN || !bare.bytes().all(|byte| byte.is_ascii_graphic()) {
        let title = format!("Idempotency-Key must be 1 to {MAX_KEY_LEN} printable characters without spaces");
        return Err(Problem::bad_request("bad_idempotency_key", title));
    }
    Ok(Some(bare.to_owned()))
}
