//! What holds for a route, and which line of which file says so.

use crate::diagnostic::nearest;
use crate::doc::route::{FieldChangesDoc, MatchDoc, RedirectDoc, RewriteDoc, RouteDoc, ValueRegexDoc};
use crate::doc::traffic::CorsDoc;
use crate::load::{Loaded, Service};
use crate::lower::{route_name, route_policy};
use crate::policy::Effective;
use crate::read::Named;
use crate::source::{At, Place, Span};
use crate::value::{Millis, Need, Share, Short};
use ondol_core::error::ErrorCode;
use ondol_core::unit::{Rate, show_duration, show_size};
use ondol_core::wire::proxy::{Fallback, LimitBy};
use serde_json::{Value as Json, json};
use std::fmt;
use std::time::Duration;

/// Every effective value of a route with its origin.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The route's name.
    pub route: String,
    /// Whose it is.
    pub service: String,
    /// Why the service cannot run here.
    pub skipped: Option<String>,
    /// In a fixed order.
    pub lines: Vec<Line>,
}

/// One effective value.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// As it would be written in a manifest, such as `breaker.open`.
    pub key: String,
    /// Likewise.
    pub value: String,
    /// Which line says so; `None`: it is built in.
    pub origin: Option<Place>,
    /// The line names a variable or a file that holds the value, which is how secrets are written.
    pub reference: bool,
}

impl Line {
    /// The header field or query parameter that it sets or asks for; its value may be anything, a secret too.
    pub(crate) fn names(&self) -> Option<&str> {
        const KEYS: [&str; 6] = [
            "request_headers.set.",
            "request_headers.add.",
            "response_headers.set.",
            "response_headers.add.",
            "match.headers.",
            "match.query.",
        ];
        KEYS.iter().find_map(|start| self.key.strip_prefix(start))
    }

    /// The value for people, without what may be secret.
    fn shown(&self) -> &str {
        match self.reference && self.names().is_some() {
            true => HIDDEN,
            false => &self.value,
        }
    }
}

/// Stands for a value that is not shown.
pub(crate) const HIDDEN: &str = "…";

/// There is no route of that name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no route `{name}`{hint}")]
pub struct NoSuchRoute {
    name: String,
    hint: String,
}

impl NoSuchRoute {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::new("MF-014")
    }
}

/// Explains one route.
///
/// # Errors
/// [`NoSuchRoute`] with the nearest name.
pub fn explain_route(loaded: &Loaded, name: &str) -> Result<Explanation, NoSuchRoute> {
    let mut names = Vec::new();
    for service in &loaded.services {
        for (index, route) in service.doc.routes.iter().enumerate() {
            let Some(known) = route_name(&service.name, index, route) else {
                continue;
            };
            if known.as_str() == name {
                return Ok(explain(loaded, service, route, name));
            }
            names.push(known);
        }
    }
    let near = nearest(name, names.iter().map(|name| name.as_str()));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(NoSuchRoute {
        name: name.to_owned(),
        hint,
    })
}

struct Lines<'a> {
    loaded: &'a Loaded,
    out: Vec<Line>,
}

impl Lines<'_> {
    fn add(&mut self, key: impl Into<String>, value: impl ToString, at: Span) {
        let origin = self.loaded.sources.place(at);
        self.out.push(Line {
            key: key.into(),
            value: value.to_string(),
            origin,
            reference: self.loaded.is_reference(at),
        });
    }

    fn text(&mut self, key: &str, value: Option<&At<String>>) {
        if let Some(value) = value {
            self.add(key, &value.value, value.at);
        }
    }
}

fn explain(loaded: &Loaded, service: &Service, route: &RouteDoc, name: &str) -> Explanation {
    let mut lines = Lines {
        loaded,
        out: Vec::new(),
    };
    matches(&mut lines, &route.r#match.value);
    if let Some(auth) = &route.auth {
        lines.text("auth.issuer", Some(&auth.issuer));
        lines.text("auth.scope", auth.scope.as_ref());
        lines.text("auth.role", auth.role.as_ref());
        lines.add("auth.forward", auth.forward.value, auth.forward.at);
    }
    if let Some(start) = &route.start {
        lines.add("start.saga", &start.saga.value, start.saga.at);
        lines.add("start.wait", duration(start.wait.value), start.wait.at);
        let key = if start.key.value == Need::Required {
            "required"
        } else {
            "optional"
        };
        lines.add("start.key", key, start.key.at);
    }
    if let Some(to) = &route.redirect {
        redirect(&mut lines, to);
    }
    if let Some(by) = &route.rewrite {
        rewrite(&mut lines, by);
    }
    traffic(&mut lines, route);
    for (key, changes) in [
        ("request_headers", &route.request_headers),
        ("response_headers", &route.response_headers),
    ] {
        changes
            .iter()
            .for_each(|changes| field_changes(&mut lines, key, changes));
    }
    policy(&mut lines, &route_policy(&loaded.system, &service.doc, route));
    Explanation {
        route: name.to_owned(),
        service: service.name.to_string(),
        skipped: service.skipped.clone(),
        lines: lines.out,
    }
}

fn traffic(lines: &mut Lines<'_>, route: &RouteDoc) {
    for doc in &route.backends {
        let key = format!("backends.{}", doc.service.value);
        lines.add(format!("{key}.weight"), doc.weight.value, doc.weight.at);
        for (own, changes) in [
            ("request_headers", &doc.request_headers),
            ("response_headers", &doc.response_headers),
        ] {
            if let Some(changes) = changes {
                field_changes(lines, &format!("{key}.{own}"), changes);
            }
        }
    }
    for doc in &route.mirrors {
        lines.add(
            format!("mirrors.{}.share", doc.service.value),
            percent(doc.share.value),
            doc.share.at,
        );
    }
    if let Some(doc) = &route.session {
        if let Some(cookie) = &doc.cookie {
            lines.add("session.cookie", &cookie.value.0, cookie.at);
        }
        if let Some(header) = &doc.header {
            lines.add("session.header", &header.value.0, header.at);
        }
        if let Some(most) = doc.absolute_timeout {
            lines.add("session.absolute_timeout", duration(most.value), most.at);
        }
        if let Some(most) = doc.idle_timeout {
            lines.add("session.idle_timeout", duration(most.value), most.at);
        }
        lines.add("session.permanent", doc.permanent.value, doc.permanent.at);
    }
    if let Some(doc) = &route.cors {
        cors(lines, doc);
    }
}

fn cors(lines: &mut Lines<'_>, doc: &CorsDoc) {
    for origin in &doc.allow_origins {
        lines.add("cors.allow_origins", &origin.value.0, origin.at);
    }
    for method in &doc.allow_methods {
        lines.add("cors.allow_methods", &method.value.0, method.at);
    }
    for (key, names) in [
        ("cors.allow_headers", &doc.allow_headers),
        ("cors.expose_headers", &doc.expose_headers),
    ] {
        names.iter().for_each(|name| lines.add(key, &name.value.0, name.at));
    }
    lines.add(
        "cors.allow_credentials",
        doc.allow_credentials.value,
        doc.allow_credentials.at,
    );
    lines.add("cors.max_age", duration(doc.max_age.value), doc.max_age.at);
}

fn redirect(lines: &mut Lines<'_>, doc: &RedirectDoc) {
    if let Some(scheme) = &doc.scheme {
        lines.add("redirect.scheme", &scheme.value.0, scheme.at);
    }
    if let Some(host) = &doc.host {
        lines.add("redirect.host", &host.value.0, host.at);
    }
    if let Some(port) = &doc.port {
        lines.add("redirect.port", port.value, port.at);
    }
    if let Some(path) = &doc.path {
        lines.add("redirect.path", &path.value.0, path.at);
    }
    if let Some(prefix) = &doc.prefix {
        lines.add("redirect.prefix", &prefix.value.0, prefix.at);
    }
    lines.add("redirect.status", doc.status.value.0, doc.status.at);
}

fn rewrite(lines: &mut Lines<'_>, doc: &RewriteDoc) {
    if let Some(host) = &doc.host {
        lines.add("rewrite.host", &host.value.0, host.at);
    }
    if let Some(path) = &doc.path {
        lines.add("rewrite.path", &path.value.0, path.at);
    }
    if let Some(prefix) = &doc.prefix {
        lines.add("rewrite.prefix", &prefix.value.0, prefix.at);
    }
}

fn field_changes(lines: &mut Lines<'_>, key: &str, doc: &FieldChangesDoc) {
    for name in &doc.remove {
        lines.add(format!("{key}.remove"), &name.value.0, name.at);
    }
    for (kind, named) in [("set", &doc.set), ("add", &doc.add)] {
        for (name, value) in named.iter() {
            lines.add(format!("{key}.{kind}.{}", name.value), &value.value.0, value.at);
        }
    }
}

fn matches(lines: &mut Lines<'_>, doc: &MatchDoc) {
    if let Some(path) = &doc.path {
        lines.add("match.path", &path.value.0, path.at);
    }
    if let Some(prefix) = &doc.prefix {
        lines.add("match.prefix", &prefix.value.0, prefix.at);
    }
    if let Some(regex) = &doc.regex {
        lines.add("match.regex", &regex.value.0, regex.at);
    }
    if let Some(grpc) = &doc.grpc {
        if let Some(service) = &grpc.value.service {
            match service {
                Short::Short(name) => lines.add("match.grpc.service", &name.value.0, name.at),
                Short::Long(doc) => lines.add("match.grpc.service.regex", &doc.regex.value.0, doc.regex.at),
            }
        }
        if let Some(method) = &grpc.value.method {
            match method {
                Short::Short(name) => lines.add("match.grpc.method", &name.value.0, name.at),
                Short::Long(doc) => lines.add("match.grpc.method.regex", &doc.regex.value.0, doc.regex.at),
            }
        }
    }
    for method in &doc.methods {
        lines.add("match.methods", &method.value.0, method.at);
    }
    for host in &doc.hosts {
        lines.add("match.hosts", &host.value.0, host.at);
    }
    values(lines, "match.headers", &doc.headers);
    values(lines, "match.query", &doc.query);
}

fn values(lines: &mut Lines<'_>, key: &str, named: &Named<Short<At<String>, ValueRegexDoc>>) {
    for (name, value) in named.iter() {
        let key = format!("{key}.{}", name.value);
        match value {
            Short::Short(text) => lines.add(key, &text.value, text.at),
            Short::Long(doc) => lines.add(format!("{key}.regex"), &doc.regex.value.0, doc.regex.at),
        }
    }
}

fn policy(lines: &mut Lines<'_>, effective: &Effective) {
    for (key, value, at) in policy_values(effective) {
        lines.add(key, value, at);
    }
}

/// Keys, values as written, places.
pub(crate) fn policy_values(effective: &Effective) -> Vec<(&'static str, String, Span)> {
    let failures = percent(effective.failures.value);
    let mut out = vec![
        ("timeout", duration(effective.timeout.value), effective.timeout.at),
        ("stream", effective.stream.value.to_string(), effective.stream.at),
        ("retries", effective.retries.value.to_string(), effective.retries.at),
        ("breaker.failures", failures, effective.failures.at),
        (
            "breaker.minimum",
            effective.minimum.value.to_string(),
            effective.minimum.at,
        ),
        ("breaker.open", duration(effective.open.value), effective.open.at),
        (
            "body_limit",
            show_size(effective.body_limit.value.0),
            effective.body_limit.at,
        ),
        (
            "priority",
            effective.priority.value.as_str().to_owned(),
            effective.priority.at,
        ),
        ("balance", effective.balance.value.to_string(), effective.balance.at),
    ];
    if let Some(share) = effective.hedge {
        out.push(("hedge.share", percent(share.value), share.at));
    }
    if let Some(cache) = &effective.cache {
        let span = |span: At<Millis>| (duration(span.value), span.at);
        let (on_error, at) = span(cache.stale_if_error);
        out.push(("cache.stale_if_error", on_error, at));
        let (meanwhile, at) = span(cache.stale_while_revalidate);
        out.push(("cache.stale_while_revalidate", meanwhile, at));
        out.push(("cache.shared", cache.shared.value.to_string(), cache.shared.at));
    }
    if let Some(fallback) = &effective.fallback {
        let value = match &fallback.value {
            Fallback::Service { service } => format!("service {service}"),
            Fallback::Answer {
                status, content_type, ..
            } => format!("{status}, {content_type}"),
        };
        out.push(("fallback", value, fallback.at));
    }
    if let Some(limit) = &effective.limit {
        let by = match &limit.by.value {
            LimitBy::Subject => "subject".to_owned(),
            LimitBy::Ip => "ip".to_owned(),
            LimitBy::Header(name) => format!("header {name}"),
        };
        out.push((
            "limit.rate",
            Rate {
                per_second: limit.rate.value.0,
            }
            .to_string(),
            limit.rate.at,
        ));
        out.push(("limit.burst", limit.burst.value.to_string(), limit.burst.at));
        out.push(("limit.by", by, limit.by.at));
    }
    out
}

/// Shares are written with at most a few digits; the product of 0.1 and 100 should not show its rounding.
fn percent(Share(ratio): Share) -> String {
    format!("{} %", (ratio * 1e6).round() / 1e4)
}

fn duration(span: Millis) -> String {
    show_duration(Duration::from_millis(span.0))
}

impl Explanation {
    /// For tools.
    pub fn json(&self) -> Json {
        let line = |line: &Line| {
            let origin = line
                .origin
                .as_ref()
                .map(|place| json!({ "file": place.file, "line": place.line, "column": place.column }));
            json!({ "key": line.key, "value": line.shown(), "origin": origin })
        };
        json!({
            "route": self.route, "service": self.service, "skipped": self.skipped,
            "values": self.lines.iter().map(line).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Explanation {
    /// A line for each value: key, value, origin, in columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "route {} of service {}", self.route, self.service)?;
        if let Some(reason) = &self.skipped {
            writeln!(f, "answered 503: the service is skipped: {reason}")?;
        }
        let width = |get: fn(&Line) -> &str| {
            self.lines
                .iter()
                .map(|line| get(line).chars().count())
                .max()
                .unwrap_or(0)
        };
        let (keys, values) = (width(|line| &line.key), width(Line::shown));
        for line in &self.lines {
            let origin = line.origin.as_ref().map_or("built in".to_owned(), Place::to_string);
            writeln!(f, "  {:keys$}  {:values$}  {origin}", line.key, line.shown())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
