//! What holds for a route, and which line of which file says so.

use crate::diagnostic::nearest;
use crate::doc::route::{MatchDoc, RouteDoc, ValueRegexDoc};
use crate::load::{Loaded, Service};
use crate::lower::{route_name, route_policy};
use crate::policy::Effective;
use crate::read::Named;
use crate::source::{At, Place, Span};
use crate::value::{Bytes, Millis, Need, Share, Short};
use ondol_core::error::ErrorCode;
use ondol_core::unit::{Rate, show_duration};
use ondol_core::wire::proxy::LimitBy;
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
}

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
    policy(&mut lines, &route_policy(&loaded.system, &service.doc, route));
    Explanation {
        route: name.to_owned(),
        service: service.name.to_string(),
        skipped: service.skipped.clone(),
        lines: lines.out,
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
    let Share(ratio) = effective.failures.value;
    // Shares are written with at most a few digits; the product of 0.1 and 100 should not show its rounding.
    let failures = format!("{} %", (ratio * 1e6).round() / 1e4);
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
        ("body_limit", size(effective.body_limit.value), effective.body_limit.at),
    ];
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

fn duration(span: Millis) -> String {
    show_duration(Duration::from_millis(span.0))
}

/// A size as manifests write it: the largest unit that divides it.
fn size(Bytes(bytes): Bytes) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(scale, _)| bytes > 0 && bytes % scale == 0);
    unit.map_or_else(
        || format!("{bytes}B"),
        |(scale, unit)| format!("{}{unit}", bytes / scale),
    )
}

impl Explanation {
    /// For tools.
    pub fn json(&self) -> Json {
        let line = |line: &Line| {
            let origin = line
                .origin
                .as_ref()
                .map(|place| json!({ "file": place.file, "line": place.line, "column": place.column }));
            json!({ "key": line.key, "value": line.value, "origin": origin })
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
        let width = |get: fn(&Line) -> &String| {
            self.lines
                .iter()
                .map(|line| get(line).chars().count())
                .max()
                .unwrap_or(0)
        };
        let (keys, values) = (width(|line| &line.key), width(|line| &line.value));
        for line in &self.lines {
            let origin = line.origin.as_ref().map_or("built in".to_owned(), Place::to_string);
            writeln!(f, "  {:keys$}  {:values$}  {origin}", line.key, line.value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FixedEnv;

    fn loaded() -> (tempfile::TempDir, Loaded) {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("has a folder")).expect("can be made");
            std::fs::write(path, text).expect("can be written");
        };
        write(
            "ondol.yaml",
            "system: demo\nservices: [a]\ndefaults:\n  retries: 1\n  breaker: { failures: 10.1 % }\n",
        );
        let service = "service: a\nrun: sh -c true\ndefaults:\n  breaker: { minimum: 7 }\nroutes:\n\
                       \x20 - match: { prefix: /a }\n    timeout: 3s\n    limit: { rate: 30/m }\n    body_limit: 64KiB\n\
                       \x20 - { name: begin, match: { path: /b }, start: { saga: s } }\nsagas: [s.saga.yaml]\n";
        write("a/service.yaml", service);
        write("a/s.saga.yaml", "saga: s\nsteps: [ { one: { call: GET a/x } } ]\n");
        let loaded = crate::load(root.path(), &FixedEnv::default().programs(&[("sh", "1")])).expect("good");
        (root, loaded)
    }

    fn origin(explanation: &Explanation, key: &str) -> (String, String) {
        let line = explanation.lines.iter().find(|line| line.key == key).expect(key);
        (
            line.value.clone(),
            line.origin.as_ref().map_or("built in".into(), Place::to_string),
        )
    }

    #[test]
    fn each_value_names_the_line_of_the_nearest_level() {
        let (_root, loaded) = loaded();
        let explained = explain_route(&loaded, "a-1").expect("is there");
        for (key, value, place) in [
            ("match.prefix", "/a", "a/service.yaml:6"),
            ("timeout", "3s", "a/service.yaml:7"),
            ("retries", "1", "ondol.yaml:4"),
            ("limit.rate", "30/m", "a/service.yaml:8"),
            ("limit.burst", "1", "built in"),
            ("breaker.failures", "10.1 %", "ondol.yaml:5"),
            ("breaker.minimum", "7", "a/service.yaml:4"),
            ("breaker.open", "5s", "built in"),
            ("body_limit", "64KiB", "a/service.yaml:9"),
        ] {
            assert_eq!(origin(&explained, key), (value.into(), place.into()), "{key}");
        }
        assert!(
            explained
                .to_string()
                .contains("retries           1        ondol.yaml:4\n"),
            "{explained}"
        );
        assert_eq!(explained.json()["values"][0]["origin"]["line"], 6);
    }

    #[test]
    fn a_start_has_its_own_timeout_and_one_try() {
        let (_root, loaded) = loaded();
        let explained = explain_route(&loaded, "begin").expect("is there");
        assert_eq!(origin(&explained, "timeout"), ("17s".into(), "built in".into()));
        assert_eq!(origin(&explained, "retries"), ("0".into(), "built in".into()));
        assert_eq!(
            origin(&explained, "start.saga"),
            ("s".into(), "a/service.yaml:10".into())
        );
    }

    #[test]
    fn an_unknown_route_names_the_nearest() {
        let (_root, loaded) = loaded();
        let error = explain_route(&loaded, "begn").expect_err("is not there");
        assert_eq!(error.to_string(), "there is no route `begn`; did you mean `begin`?");
    }
}
