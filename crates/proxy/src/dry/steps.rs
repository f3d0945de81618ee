//! What each filter does to a request, in words; called and written as the manifests do it.

use crate::cluster::By;
use crate::filter::cors;
use crate::grpc_web::Dialect;
use crate::message::RequestHead;
use ondol_core::unit::{Rate, show_duration};
use ondol_core::wire::proxy as wire;
use serde::Serialize;
use std::time::Duration;

/// What one filter does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// The key of the manifest that asks for it.
    pub filter: &'static str,
    /// What it does to this request.
    pub does: String,
}

fn step(filter: &'static str, does: impl Into<String>) -> Step {
    let does = does.into();
    Step { filter, does }
}

/// What a match asks for, one line each.
pub(super) fn conditions(matches: &wire::RouteMatch) -> Vec<String> {
    let mut out = vec![match &matches.path {
        wire::PathMatch::Exact(path) => format!("path {path}"),
        wire::PathMatch::Prefix(prefix) => format!("prefix {prefix}"),
        wire::PathMatch::Regex(regex) => format!("regex {regex}"),
    }];
    for (what, list) in [("methods", &matches.methods), ("hosts", &matches.hosts)] {
        if !list.is_empty() {
            out.push(format!("{what} {}", list.join(", ")));
        }
    }
    for (what, list) in [("header", &matches.headers), ("query", &matches.query)] {
        out.extend(list.iter().map(|(name, value)| match value {
            wire::ValueMatch::Exact(text) => format!("{what} {name}: {text}"),
            wire::ValueMatch::Regex(regex) => format!("{what} {name}: regex {regex}"),
        }));
    }
    out
}

pub(super) fn identity(head: &RequestHead) -> Option<Step> {
    let own = head
        .fields
        .iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("ondol-"));
    let own: Vec<_> = own.collect();
    (!own.is_empty()).then(|| {
        step(
            "identity",
            format!("removes {}: not believed from outside", own.join(", ")),
        )
    })
}

pub(super) fn cors(spec: &wire::Cors, head: &RequestHead) -> Step {
    let origin = head.fields.get_str("origin");
    let does = match (origin, cors::allowed(spec, &head.fields), cors::preflight(head)) {
        (None, ..) => "the request names no origin".to_owned(),
        (Some(origin), Some(_), Some(method)) => format!("answers the preflight: {origin} may ask with {method}"),
        (Some(origin), Some(_), None) => format!("pages of {origin} may read the answer"),
        (Some(origin), None, Some(_)) => format!("answers the preflight: {origin} is not allowed"),
        (Some(origin), None, None) => format!("pages of {origin} may not read the answer"),
    };
    step("cors", does)
}

pub(super) fn auth(auth: &wire::Auth, brings: bool) -> Step {
    let mut does = format!("needs a token of issuer {}", auth.issuer);
    for (what, word) in [("scope", &auth.scope), ("role", &auth.role)] {
        if let Some(word) = word {
            does.push_str(&format!(" with {what} {word}"));
        }
    }
    does.push_str(match (brings, auth.forward) {
        (true, false) => "; the one of this request is taken for good and not passed on",
        (true, true) => "; the one of this request is taken for good and passed on",
        (false, _) => "; this request brings none",
    });
    step("auth", does)
}

pub(super) fn limit(limit: &wire::Limit) -> Step {
    let by = match &limit.by {
        wire::LimitBy::Subject => "subject, or address where there is none".to_owned(),
        wire::LimitBy::Ip => "address".to_owned(),
        wire::LimitBy::Header(name) => format!("header {name}"),
    };
    let rate = Rate {
        per_second: limit.per_second,
    };
    step("limit", format!("{rate}, at most {} at once, by {by}", limit.burst))
}

pub(super) fn fields(filter: &'static str, changes: &wire::FieldChanges) -> Option<Step> {
    let mut all: Vec<_> = changes.remove.iter().map(|name| format!("removes {name}")).collect();
    all.extend(changes.set.iter().map(|(name, value)| format!("sets {name}: {value}")));
    all.extend(changes.add.iter().map(|(name, value)| format!("adds {name}: {value}")));
    (!all.is_empty()).then(|| step(filter, all.join("; ")))
}

/// What becomes of the fields of those requests that this backend gets.
pub(super) fn backend(backend: &wire::Backend) -> Vec<Step> {
    let of = |what, changes| {
        let changed = fields("backends", changes)?;
        Some(step(
            "backends",
            format!("{what} {}: {}", backend.service, changed.does),
        ))
    };
    let both = [
        of("requests to", &backend.request_fields),
        of("answers of", &backend.response_fields),
    ];
    both.into_iter().flatten().collect()
}

pub(super) fn session(session: &wire::Session, head: &RequestHead) -> Step {
    let (what, there) = match session.kind {
        wire::SessionKind::Header => ("header", head.fields.contains(&session.name)),
        wire::SessionKind::Cookie => ("cookie", head.fields.contains("cookie")),
    };
    let span = |ms| show_duration(Duration::from_millis(ms));
    let mut lasts = session
        .absolute_timeout_ms
        .map(|ms| format!(", for {}", span(ms)))
        .unwrap_or_default();
    if let Some(ms) = session.idle_timeout_ms {
        lasts.push_str(&format!(", until it is idle for {}", span(ms)));
    }
    let does = match there {
        true => format!("the {what} {} may name the instance that takes it{lasts}", session.name),
        false => format!("begins one: the answer sets the {what} {}{lasts}", session.name),
    };
    step("session", does)
}

/// Which instance gets it, where that is the request's affair: its hash needs a key. `by`: what is found in it.
pub(super) fn balance(spec: &wire::Balance, by: By) -> Option<Step> {
    let (wire::Balance::RingHash(hash) | wire::Balance::Maglev(hash)) = spec else {
        return None;
    };
    let does = match by {
        By::Ring(_) | By::Maglev(_) => {
            format!("{spec}: all with this one's {hash} go to one instance while it has room")
        }
        _ => format!(
            "{spec}: this request has no {hash}, so it goes by {}",
            wire::Balance::PeakEwma
        ),
    };
    Some(step("balance", does))
}

/// Whether it comes from a browser that speaks gRPC.
pub(super) fn grpc_web(head: &RequestHead) -> Option<Step> {
    Dialect::of(head)?;
    let does =
        "a service with protocol h2c gets it as gRPC, and its answer comes back as gRPC-Web; others get it as it is";
    Some(step("grpc-web", does))
}

/// What became of host and target, if anything did.
pub(super) fn rewrite(before: &(String, String), head: &RequestHead) -> Option<Step> {
    let (host, target) = before;
    let mut all = Vec::new();
    if host != head.authority() {
        all.push(format!("host {host} becomes {}", head.authority()));
    }
    if target != head.target() {
        all.push(format!("{target} becomes {}", head.target()));
    }
    (!all.is_empty()).then(|| step("rewrite", all.join("; ")))
}

/// What kept answers have to do with it.
pub(super) fn cache(cache: &wire::Cache, head: &RequestHead) -> Step {
    let span = |ms| show_duration(Duration::from_millis(ms));
    let whose = match cache.shared {
        true => "those that may be shared",
        false => "each consumer its own",
    };
    let does = match crate::cache::reads(head) {
        true => format!(
            "an answer that is kept is given again, {whose}; stale for {} in place of errors and for {} while another is fetched, \
             unless it says otherwise itself",
            span(cache.stale_if_error_ms),
            span(cache.stale_while_revalidate_ms),
        ),
        false if head.method.is_safe() => "this request is none whose answers are kept".to_owned(),
        false => "if it succeeds, kept answers of its target are forgotten".to_owned(),
    };
    step("cache", does)
}

/// What stands in for an error, if it is one of those for which something does.
pub(super) fn fallback(fallback: &wire::Fallback, head: &RequestHead) -> Option<Step> {
    if !matches!(head.method, http::Method::GET | http::Method::HEAD) {
        return None;
    }
    let what = match fallback {
        wire::Fallback::Service { service } => format!("an answer of {service} stands in"),
        wire::Fallback::Answer {
            status, content_type, ..
        } => format!("{status} with {content_type} stands in"),
    };
    Some(step("fallback", format!("for an error {what}")))
}

pub(super) fn mirror(mirror: &wire::Mirror) -> Step {
    let share = (mirror.share * 1e6).round() / 1e4;
    step(
        "mirrors",
        format!("{share} % of the requests go to {} as copies", mirror.service),
    )
}
