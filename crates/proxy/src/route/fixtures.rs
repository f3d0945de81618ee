//! Routes for tests, also from the cases that are data.

use ondol_core::wire::proxy::{self as wire, Action, Breaker, PathMatch, Policy, RouteMatch, ValueMatch};
use serde_json::Value;

/// A route to the service `s`.
pub(crate) fn route(name: &str, matches: RouteMatch) -> wire::Route {
    let service = "s".parse().expect("a name");
    wire::Route {
        name: name.parse().expect("a name"),
        action: Action::forward("s".parse().expect("a name")),
        service,
        matches,
        auth: None,
        policy: Policy {
            timeout_ms: 15_000,
            stream: false,
            retries: 2,
            breaker: Breaker {
                failure_ratio: 0.5,
                minimum: 20,
                open_ms: 5_000,
            },
            body_limit: 1 << 20,
            priority: Default::default(),
            hedge_share: 0.0,
            balance: Default::default(),
            cache: None,
            fallback: None,
        },
        cors: None,
        mirrors: vec![],
        session: None,
        rewrite: Default::default(),
        request_fields: Default::default(),
        response_fields: Default::default(),
        limit: None,
    }
}

/// A JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn values(value: &Value) -> Vec<(String, ValueMatch)> {
    let one = |value: &Value| match value.as_str() {
        Some(exact) => ValueMatch::Exact(exact.to_owned()),
        None => ValueMatch::Regex(text(&value["regex"])),
    };
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), one(value)))
        .collect()
}

/// A match as `conformance/gateway/routes.json` writes it.
pub(crate) fn from_data(spec: &Value) -> RouteMatch {
    let path = match (&spec["path"], &spec["prefix"], &spec["regex"]) {
        (Value::String(path), ..) => PathMatch::Exact(path.clone()),
        (_, Value::String(path), _) => PathMatch::Prefix(path.clone()),
        (.., regex) => PathMatch::Regex(text(regex)),
    };
    RouteMatch {
        path,
        methods: texts(&spec["methods"]),
        hosts: texts(&spec["hosts"]),
        headers: values(&spec["headers"]),
        query: values(&spec["query"]),
    }
}
