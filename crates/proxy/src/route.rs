//! The route table: which route takes a request, by the rules of the Gateway API's HTTPRoute.
//!
//! Among all routes that match, the first in this order wins: the longer host name without a wildcard, the longer one
//! with, none; the exact path; the longer prefix; a route that names methods; more headers; more query parameters; the
//! earlier in the snapshot. A regular expression, which the specification leaves open, stands among the prefixes as
//! long as the plain text that it begins with, after a real prefix of that length: so a route `/` never hides it.
//!
//! Invariants
//! - A table never changes; a new snapshot makes a new one.
//! - Paths and hosts are canonical (`message::RequestHead`); patterns are made canonical when the table is made.
//!
//! Cost of a look-up: one hash per host label and per path segment, however many routes there are, and then one
//! comparison per route with the same path. Expressions are tried one by one: they cost by their number.
//! Tests: conformance/gateway/routes.json as data; a plain reference that sorts all matching routes, by `proptest`.

pub(crate) mod condition;
#[cfg(test)]
pub(crate) mod fixtures;
mod paths;

use crate::message::RequestHead;
use condition::Conditions;
use ondol_core::error::ErrorCode;
use ondol_core::id::RouteName;
use ondol_core::path::{self, BadPath};
use ondol_core::wire::proxy as wire;
use paths::{Candidate, Paths};
use std::collections::HashMap;
use std::sync::Arc;

/// Why a snapshot's routes are not served.
#[derive(Debug, thiserror::Error)]
#[error("route {route}: {reason}")]
pub struct BadRoute {
    /// Which.
    pub route: RouteName,
    /// What is wrong with it.
    pub reason: BadPattern,
}

impl BadRoute {
    /// Stable code.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::new("GW-050")
    }
}

/// A pattern that cannot be matched.
#[derive(Debug, thiserror::Error)]
pub enum BadPattern {
    /// Its path could never be a request's.
    #[error("no request can have the path `{0}`: {1}")]
    Path(String, BadPath),
    /// Its expression is not one.
    #[error("`{0}` is not a regular expression that can be used")]
    Regex(String, #[source] Box<regex::Error>),
    /// Its host is not one.
    #[error("`{0}` is not a host name")]
    Host(String),
}

/// A route that can be found.
#[derive(Debug)]
pub struct Route {
    /// Its position in the snapshot.
    pub index: usize,
    /// As the snapshot has it.
    pub spec: Arc<wire::Route>,
    conditions: Conditions,
}

/// All routes of a snapshot, ready for look-up.
#[derive(Debug, Default)]
pub struct Table {
    routes: Vec<Route>,
    /// By host name.
    hosts: HashMap<Box<str>, Paths>,
    /// By `.example.com` for `*.example.com`.
    wildcards: HashMap<Box<str>, Paths>,
    any_host: Paths,
}

impl Table {
    /// Makes the table.
    ///
    /// # Errors
    /// [`BadRoute`] for the first route with a pattern that cannot be matched.
    pub fn compile(specs: &[Arc<wire::Route>]) -> Result<Self, BadRoute> {
        let mut table = Self::default();
        for (index, spec) in specs.iter().enumerate() {
            table.add(index, spec).map_err(|reason| BadRoute {
                route: spec.name.clone(),
                reason,
            })?;
        }
        let Self {
            routes,
            hosts,
            wildcards,
            any_host,
        } = &mut table;
        hosts
            .values_mut()
            .chain(wildcards.values_mut())
            .chain([any_host])
            .for_each(|paths| {
                paths.sort_by_key(|candidate| routes[candidate.0].conditions.precedence());
            });
        Ok(table)
    }

    fn add(&mut self, index: usize, spec: &Arc<wire::Route>) -> Result<(), BadPattern> {
        let pattern = paths::Pattern::new(&spec.matches.path)?;
        let conditions = Conditions::new(&spec.matches, spec.cors.is_some())?;
        if let Some(wire::PathChange::Full(path) | wire::PathChange::Prefix(path)) = spec.path_change() {
            canonical_pattern(path)?;
        }
        for host in &spec.matches.hosts {
            let (name, key, map) = match host.strip_prefix("*.") {
                Some(name) => (name, &host[1..], &mut self.wildcards),
                None => (host.as_str(), host.as_str(), &mut self.hosts),
            };
            if !is_host(name) {
                return Err(BadPattern::Host(host.clone()));
            }
            map.entry(key.to_ascii_lowercase().into())
                .or_default()
                .add(&pattern, Candidate(index));
        }
        if spec.matches.hosts.is_empty() {
            self.any_host.add(&pattern, Candidate(index));
        }
        self.routes.push(Route {
            index,
            spec: spec.clone(),
            conditions,
        });
        Ok(())
    }

    /// The route that takes the request; `None`: 404.
    pub fn find(&self, head: &RequestHead) -> Option<&Route> {
        let host = head.host().strip_suffix('.').unwrap_or(head.host());
        let dotted = if self.wildcards.is_empty() { "" } else { host };
        let suffixes = dotted
            .match_indices('.')
            .filter_map(|(at, _)| self.wildcards.get(&host[at..]));
        let takes = |candidate: Candidate| self.routes[candidate.0].conditions.hold(head);
        let by_host = self.hosts.get(host).into_iter().chain(suffixes).chain([&self.any_host]);
        by_host
            .filter_map(|paths| paths.find(head.path(), takes))
            .next()
            .map(|found| &self.routes[found.0])
    }

    /// All routes, in the snapshot's order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

fn is_host(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':'))
}

/// The canonical form of a path in a pattern, as [`path::canonical`] makes it of a request's.
fn canonical_pattern(text: &str) -> Result<String, BadPattern> {
    let bad = |reason| BadPattern::Path(text.to_owned(), reason);
    if text.contains(['?', '#']) {
        return Err(bad(BadPath::Byte));
    }
    // Whoever writes `/밥` in a manifest means what a client sends for it.
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0x21..=0x7e => encoded.push(byte),
            _ => encoded.extend(format!("%{byte:02X}").bytes()),
        }
    }
    let mut out = String::new();
    path::canonical(&encoded, &mut out).map_err(bad)?;
    Ok(out)
}

#[cfg(test)]
#[path = "route/tests.rs"]
mod tests;
