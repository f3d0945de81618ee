//! Routes that take a request but for one thing. Found by asking the table itself about a route without that one condition, so
//! that nothing is matched in a second way.

use crate::message::RequestHead;
use crate::route::Table;
use ondol_core::id::RouteName;
use ondol_core::wire::proxy::{PathMatch, Route, RouteMatch};
use serde::Serialize;
use std::sync::Arc;

/// Most that are told.
const MOST: usize = 5;

/// A route that nearly takes a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Near {
    /// Which.
    pub route: RouteName,
    /// What does not fit, in words.
    pub but: String,
}

/// The nearest, in the snapshot's order.
pub(super) fn find(routes: &[Arc<Route>], head: &RequestHead) -> Vec<Near> {
    let near = routes.iter().filter_map(|route| {
        let but = misses(route, head)?;
        Some(Near {
            route: route.name.clone(),
            but,
        })
    });
    near.take(MOST).collect()
}

fn misses(route: &Route, head: &RequestHead) -> Option<String> {
    let asks = &route.matches;
    let without = |change: fn(&mut RouteMatch)| {
        let mut matches = asks.clone();
        change(&mut matches);
        fits(route, matches, head)
    };
    let quoted = |names: Vec<&str>| names.join(", ");
    if !asks.methods.is_empty() && without(|matches| matches.methods.clear()) {
        let methods = quoted(asks.methods.iter().map(String::as_str).collect());
        return Some(format!("its methods are {methods}, not {}", head.method));
    }
    if !asks.hosts.is_empty() && without(|matches| matches.hosts.clear()) {
        let hosts = quoted(asks.hosts.iter().map(String::as_str).collect());
        return Some(format!("its hosts are {hosts}, not {}", head.host()));
    }
    if !asks.headers.is_empty() && without(|matches| matches.headers.clear()) {
        let names = quoted(asks.headers.iter().map(|(name, _)| name.as_str()).collect());
        return Some(format!("it asks for other values of the headers {names}"));
    }
    if !asks.query.is_empty() && without(|matches| matches.query.clear()) {
        let names = quoted(asks.query.iter().map(|(name, _)| name.as_str()).collect());
        return Some(format!("it asks for other values of the query parameters {names}"));
    }
    path(route, head)
}

/// A slash too much or too little, or capitals: what people mistype most.
fn path(route: &Route, head: &RequestHead) -> Option<String> {
    let path = head.path();
    let shorter = path.trim_end_matches('/');
    let others = [shorter.to_owned(), format!("{shorter}/"), path.to_ascii_lowercase()];
    let takes = |other: &String| {
        let mut changed = head.clone();
        other != path && !other.is_empty() && changed.set_target(other.as_bytes()).is_ok() && {
            let query = head.query().map(|query| format!("{other}?{query}"));
            changed.set_target(query.as_ref().unwrap_or(other).as_bytes()).is_ok()
                && fits(route, route.matches.clone(), &changed)
        }
    };
    if let Some(other) = others.iter().find(|other| takes(other)) {
        return Some(format!("it takes the path {other}"));
    }
    match &route.matches.path {
        PathMatch::Exact(exact) if below(exact, path) => {
            Some(format!("it takes the path {exact} alone, not what is below it"))
        }
        _ => None,
    }
}

fn below(exact: &str, path: &str) -> bool {
    let rest = path.strip_prefix(exact.trim_end_matches('/'));
    exact != "/" && rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Whether the route takes the request when it asks for this.
fn fits(route: &Route, matches: RouteMatch, head: &RequestHead) -> bool {
    let alone = Route {
        matches,
        ..route.clone()
    };
    // What was compiled with more conditions compiles with fewer.
    Table::compile(&[Arc::new(alone)]).is_ok_and(|table| table.find(head).is_some())
}
