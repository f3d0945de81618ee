//! Asking a source for a page: a service through the caller, or the saga engine through its port.
//!
//! A page is tried three times; then the run is *unknown*. An answer that is not as agreed is not asked for again.

use super::config::Source;
use super::item::{self, ITEMS, Item, Page};
use super::service::Ports;
use crate::subscription::push::escaped;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use ondol_core::BoxFuture;
use ondol_core::caller::{Call, CallError};
use ondol_core::clock::Timestamp;
use ondol_core::id::{SagaName, ServiceName};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// For one page.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before the second try and the third.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// A saga, as a source has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Started {
    /// Its id.
    pub id: String,
    /// When it last changed.
    pub at: Timestamp,
    /// Where it stands.
    pub state: String,
}

/// A wish to start a repairing saga.
#[derive(Clone, PartialEq, Debug)]
pub struct Wish {
    /// Which definition.
    pub saga: SagaName,
    /// What makes the start unique: the same parts always lead to the same saga.
    pub key: [String; 3],
    /// The flow in which it is to be seen: the key that it mends.
    pub correlation: String,
    /// Its input.
    pub input: Value,
}

/// The saga engine, as far as reconciliations need it.
pub trait Sagas: Send + Sync + 'static {
    /// Sagas of a definition by rising id after `after`, at most `limit`. An error where there is no such definition.
    fn of(&self, saga: SagaName, after: Option<String>, limit: u32) -> BoxFuture<Result<Vec<Started>, String>>;

    /// Starts a saga, or finds the one that the same key started; its id. Durable when it returns.
    fn start(&self, wish: Wish) -> BoxFuture<Result<String, String>>;
}

/// The saga engine that can be handed round.
pub type SharedSagas = Arc<dyn Sagas>;

/// The items of a source after `after`.
///
/// # Errors
/// Why there are none to be had, in words for people.
pub(super) async fn page(
    ports: &Ports,
    source: &Source,
    fields: &[String],
    after: Option<String>,
) -> Result<Page, String> {
    match source {
        Source::Path { service, path } => {
            let body = ask(ports, service, &query(path, after.as_deref())).await?;
            item::read(&body, after.as_deref(), fields, ports.clock.wall())
                .map_err(|why| format!("{service} answered nonsense: {why}"))
        }
        Source::Sagas(saga) => {
            let found = ports.sagas.of(saga.clone(), after, ITEMS as u32).await?;
            let more = found.len() >= ITEMS;
            let items = found.into_iter().map(|saga| of_saga(saga, fields)).collect();
            Ok(Page { items, more })
        }
    }
}

fn of_saga(saga: Started, fields: &[String]) -> Item {
    let state = |field: &String| (field == "state").then(|| Value::String(saga.state.clone()));
    Item {
        fields: fields.iter().map(|field| state(field).unwrap_or(Value::Null)).collect(),
        key: saga.id,
        at: Some(saga.at),
    }
}

fn query(path: &str, after: Option<&str>) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let after = after.map(|key| format!("&after={}", escaped(key, plain)));
    format!("{path}?limit={ITEMS}{}", after.unwrap_or_default())
}

/// The body of the answer, at most 1 MiB by the caller's own bound.
async fn ask(ports: &Ports, service: &ServiceName, path: &str) -> Result<Bytes, String> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let call = Call {
            service: service.clone(),
            method: Method::GET,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: TIMEOUT,
        };
        let why = match ports.caller.call(call).await {
            Ok(answer) if answer.status == StatusCode::OK => return Ok(answer.body),
            Ok(answer) => {
                let why = format!("{service} answered {}", answer.status.as_u16());
                // Asked again, it would say the same.
                if !answer.status.is_server_error() && answer.status != StatusCode::TOO_MANY_REQUESTS {
                    return Err(why);
                }
                why
            }
            Err(CallError::NotSent(why) | CallError::Unknown(why)) => format!("{service} cannot be asked: {why}"),
        };
        let Some(pause) = pauses.next() else { return Err(why) };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_part_of_a_query() {
        assert_eq!(query("/internal/x", None), "/internal/x?limit=1000");
        assert_eq!(
            query("/x", Some("a b/é&=~")),
            "/x?limit=1000&after=a%20b%2F%C3%A9%26%3D~"
        );
    }
}
