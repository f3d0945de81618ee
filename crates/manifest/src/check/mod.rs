//! What the files say of each other: every rule that no single value can break.
//!
//! Each file here checks one noun and only reports; nothing is changed. Something that is there but could not be read is
//! *unknown*: nobody is told that it is missing.

mod balance;
mod events;
mod fallback;
mod mesh;
mod names;
mod needs;
mod reconcile;
mod routes;
mod saga;
mod schema;
mod services;
mod system;
mod template;
mod tls;
mod traffic;

pub(crate) use needs::skipped;

use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::doc::system::SystemDoc;
use crate::env::Env;
use crate::load::{Parts, Service};
use crate::source::{At, Sources, Span};
use crate::value::Millis;
use std::path::Path;

/// What checks look at.
pub(crate) struct World<'a> {
    pub parts: &'a Parts,
    pub sources: &'a Sources,
    pub env: &'a dyn Env,
    pub root: &'a Path,
    /// Places of errors found while reading: what is missing there is no second error.
    pub unread: Vec<Span>,
}

/// Every finding.
pub(crate) fn all(world: &World<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let Some(system) = &world.parts.system {
        system::check(world, system, &mut found);
    }
    mesh::check(world, &mut found);
    names::check(world, &mut found);
    services::check(world, &mut found);
    routes::check(world, &mut found);
    events::check(world, &mut found);
    saga::check(world, &mut found);
    template::check(world, &mut found);
    reconcile::check(world, &mut found);
    found
}

impl<'a> World<'a> {
    fn service(&self, name: &str) -> Option<&'a Service> {
        self.parts.services.iter().find(|service| service.name.as_str() == name)
    }

    fn system(&self) -> Option<&'a SystemDoc> {
        self.parts.system.as_ref()
    }

    /// Whether something within `span` could not be read, so that what is missing there proves nothing.
    fn broken_within(&self, span: Span) -> bool {
        self.unread
            .iter()
            .any(|bad| bad.file == span.file && span.start <= bad.start && bad.end <= span.end)
    }

    /// Reports a service that is not there.
    fn known_service(&self, name: &At<String>, what: &str, found: &mut Vec<Diagnostic>) {
        let elsewhere = || self.system().into_iter().flat_map(mesh::services);
        if self.service(name).is_some()
            || self.parts.broken_services.contains(&name.value)
            || elsewhere().any(|other| other.value == name.value)
        {
            return;
        }
        let here = self.parts.services.iter().map(|service| service.name.as_str());
        let names = here.chain(elsewhere().map(|other| other.value.as_str()));
        let message = format!("{what} `{}`, and there is no such service", name.value);
        found.push(Diagnostic::error(Code::UnknownService, name.at, message).maybe_hint(suggest(name, names)));
    }
}

/// Spans of time that may not be nothing.
fn some_time(spans: &[(&str, Option<At<Millis>>)], found: &mut Vec<Diagnostic>) {
    for (key, span) in spans {
        if let Some(At { value: Millis(0), at }) = span {
            found.push(Diagnostic::error(
                Code::Value,
                *at,
                format!("`{key}` must be longer than nothing"),
            ));
        }
    }
}

/// Reports the second of two things with one name.
fn twice(what: &str, name: &str, first: Span, second: Span, found: &mut Vec<Diagnostic>) {
    let message = format!("{what} `{name}` is there twice");
    found.push(Diagnostic::error(Code::DoubleName, second, message).note(first, "first here"));
}
