//! Event streams and the log on both surfaces. Who may see what is decided by the caller of these functions.

use crate::problem::{Answer, Problem};
use crate::sse;
use crate::state::Api;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ondol_core::engine::{Order, Pattern, Selector, Wanted};
use ondol_core::id::{ServiceName, StreamName};
use ondol_core::unit::parse_duration;
use ondol_deploy::config::ServicePlan;
use ondol_events::{CloudEvent, Context, Page, Publisher, Streams, expected_from_if_match};
use serde::Deserialize;
use std::time::Duration;

/// Events in one answer, where the client names no number, and at most.
const DEFAULT_LIMIT: u32 = 200;
const MAX_LIMIT: u32 = 1_000;
/// Patterns in one `types=`.
const MAX_TYPES: usize = 100;

/// `GET /v1/streams/{name}?from=&limit=&order=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadQuery {
    from: Option<u64>,
    limit: Option<u32>,
    #[serde(default)]
    order: Way,
}

/// `GET /v1/all?after=&before=&limit=&wait=&types=&order=`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllQuery {
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<u32>,
    /// Such as `20s`: a long poll.
    wait: Option<String>,
    /// Such as `order.*,user.registered.v1`.
    types: Option<String>,
    #[serde(default)]
    order: Way,
}

impl AllQuery {
    /// One type: after a position, else from the newest back.
    pub(crate) fn of_type(kind: String, before: Option<u64>, after: Option<u64>, limit: Option<u32>) -> Self {
        let order = if after.is_some() { Way::Asc } else { Way::Desc };
        Self {
            after,
            before,
            limit,
            types: Some(kind),
            order,
            ..Self::default()
        }
    }
}

/// Oldest first, or newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    #[default]
    Asc,
    Desc,
}

/// What of the log somebody may see.
pub(crate) enum View {
    /// All of it.
    Everything,
    /// A service: its own families, and these types.
    Service { families: Vec<String>, kinds: Vec<Pattern> },
}

impl View {
    /// Of the families that it owns, and of types that it publishes or subscribes to.
    pub(crate) fn of(api: &Api, service: &ServicePlan) -> Self {
        let topics = api.publisher.topics();
        let published = topics.iter().filter(|(_, publisher)| **publisher == service.service);
        let mut kinds: Vec<Pattern> = published.map(|(kind, _)| Pattern::Exact(kind.to_owned())).collect();
        let subscribed = api.subscriptions.configs();
        let subscribed = subscribed.iter().filter(|one| one.name.service == service.service);
        kinds.extend(subscribed.flat_map(|one| &one.types).map(|kind| Pattern::new(kind)));
        Self::Service {
            families: service.streams.clone(),
            kinds,
        }
    }

    /// What may be seen of the types that are asked for; `None`: of all.
    fn wanted(&self, asked: Option<&[Pattern]>) -> Wanted {
        match (self, asked) {
            (Self::Everything, None) => Wanted::All,
            (Self::Everything, Some(asked)) => Wanted::Any(asked.iter().cloned().map(Selector::kind).collect()),
            (Self::Service { families, kinds }, None) => {
                let families = families.iter().map(Selector::family);
                Wanted::Any(families.chain(kinds.iter().cloned().map(Selector::kind)).collect())
            }
            (Self::Service { families, kinds }, Some(asked)) => {
                let mut selectors = Vec::new();
                for pattern in asked {
                    selectors.extend(families.iter().map(|family| Selector {
                        family: Some(family.clone()),
                        kind: Some(pattern.clone()),
                    }));
                    selectors.extend(kinds.iter().filter_map(|kind| kind.both(pattern)).map(Selector::kind));
                }
                Wanted::Any(selectors)
            }
        }
    }
}

pub(crate) async fn append(
    publisher: &Publisher,
    service: &ServiceName,
    stream: &StreamName,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer<Response> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    let expected = expected_from_if_match(text(header::IF_MATCH))?;
    let events = CloudEvent::read_body(text(header::CONTENT_TYPE).unwrap_or_default(), body)?;
    let context = Context::of(headers);
    let receipt = publisher.append(service, &context, stream, expected, events).await?;
    Ok((StatusCode::CREATED, axum::Json(receipt)).into_response())
}

pub(crate) async fn read(streams: &Streams, stream: &StreamName, query: &ReadQuery) -> Answer<Response> {
    let (from, order) = match query.order {
        Way::Asc => (query.from.unwrap_or(0), Order::Ascending),
        Way::Desc => (query.from.unwrap_or(u64::MAX), Order::Descending),
    };
    Ok(page(&streams.read(stream, from, order, limit(query.limit)).await?))
}

/// A page of the log after or before a position, a long poll, or a stream of server-sent events, as the client asks.
pub(crate) async fn all(streams: &Streams, view: &View, query: &AllQuery, headers: &HeaderMap) -> Answer<Response> {
    let asked = query.types.as_deref().map(patterns).transpose()?;
    let wanted = view.wanted(asked.as_deref());
    let limit = limit(query.limit);
    if sse::is_asked(headers) {
        let after = sse::last_id(headers)?.or(query.after).unwrap_or(0);
        return Ok(sse::follow(streams.clone(), wanted, after, limit));
    }
    if query.order == Way::Desc || query.before.is_some() {
        let before = query.before.unwrap_or(u64::MAX);
        return Ok(page(&streams.log(wanted, before, Order::Descending, limit).await?));
    }
    let wait = query.wait.as_deref().map_or(Ok(Duration::ZERO), parse_duration);
    let wait = wait.map_err(|error| Problem::bad_request(format!("wait: {error}")))?;
    Ok(page(
        &streams.follow(&wanted, query.after.unwrap_or(0), limit, wait).await?,
    ))
}

/// The patterns of `types=`.
fn patterns(text: &str) -> Answer<Vec<Pattern>> {
    let patterns: Vec<Pattern> = text.split(',').map(|part| Pattern::new(part.trim())).collect();
    if patterns.len() > MAX_TYPES || patterns.contains(&Pattern::Exact(String::new())) {
        return Err(Problem::bad_request(
            "types: 1 to 100 types, exact or with one trailing *, with commas between",
        ));
    }
    Ok(patterns)
}

pub(crate) fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
}

fn page(page: &Page) -> Response {
    let body: Bytes = page.to_json();
    let kind = HeaderValue::from_static("application/cloudevents-batch+json");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_sees_its_families_and_its_types_and_nothing_else_by_asking() {
        let view = View::Service {
            families: vec!["order".into()],
            kinds: vec![Pattern::new("user.*")],
        };
        let check = |asked: Option<&str>, claim: &[(Option<&str>, Option<&str>)]| {
            let asked = asked.map(|text| patterns(text).expect("patterns"));
            let claim = claim.iter().map(|(family, kind)| Selector {
                family: family.map(Into::into),
                kind: kind.map(Pattern::new),
            });
            assert_eq!(view.wanted(asked.as_deref()), Wanted::Any(claim.collect()));
        };
        check(None, &[(Some("order"), None), (None, Some("user.*"))]);
        check(
            Some("user.registered.v1"),
            &[
                (Some("order"), Some("user.registered.v1")),
                (None, Some("user.registered.v1")),
            ],
        );
        check(Some("*"), &[(Some("order"), Some("*")), (None, Some("user.*"))]);
        check(Some("payment.*"), &[(Some("order"), Some("payment.*"))]);
        assert!(patterns("").is_err() && patterns("a,,b").is_err());
        assert_eq!(View::Everything.wanted(None), Wanted::All);
    }
}
