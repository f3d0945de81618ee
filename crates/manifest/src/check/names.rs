//! Names: unique where they must be, and not those that Ondol keeps.

use super::{World, twice};
use crate::diagnostic::{Code, Diagnostic};
use crate::lower::route_name;
use crate::source::Span;
use std::collections::BTreeMap;

/// Names that Ondol's own parts have, on edges and in variables.
pub(super) const RESERVED: [&str; 4] = ["ondol", "controller", "gateway", "database"];

pub(super) fn check(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    let mut services: BTreeMap<&str, Span> = BTreeMap::new();
    for service in &world.parts.services {
        let (name, at) = (service.name.as_str(), service.doc.service.at);
        if RESERVED.contains(&name) {
            let found_here = Diagnostic::error(Code::Reserved, at, format!("the name `{name}` is Ondol's own"));
            found.push(found_here.hint(format!("taken are {}", RESERVED.join(", "))));
        }
        match services.get(name) {
            Some(first) => twice("the service", name, *first, at, found),
            None => drop(services.insert(name, at)),
        }
        variables(service, found);
    }
    let mut sagas: BTreeMap<&str, Span> = BTreeMap::new();
    for saga in &world.parts.sagas {
        let (name, at) = (saga.doc.saga.value.as_str(), saga.doc.saga.at);
        match sagas.get(name) {
            Some(first) => twice("the saga", name, *first, at, found),
            None => drop(sagas.insert(name, at)),
        }
    }
    let mut reconciliations: BTreeMap<&str, Span> = BTreeMap::new();
    for file in &world.parts.reconciliations {
        let (name, at) = (&*file.doc.reconcile.value.0, file.doc.reconcile.at);
        match reconciliations.get(name) {
            Some(first) => twice("the reconciliation", name, *first, at, found),
            None => drop(reconciliations.insert(name, at)),
        }
    }
    routes(world, found);
}

fn routes(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    let mut names: BTreeMap<String, Span> = BTreeMap::new();
    for service in &world.parts.services {
        for (index, route) in service.doc.routes.iter().enumerate() {
            let Some(name) = route_name(&service.name, index, route) else {
                continue;
            };
            let at = route.name.as_ref().map_or(route.at, |name| name.at);
            match names.get(name.as_str()) {
                Some(first) => twice("the route", name.as_str(), *first, at, found),
                None => drop(names.insert(name.to_string(), at)),
            }
        }
    }
}

/// Names in `env:`: a shell could set them, and Ondol does not set them itself.
fn variables(service: &crate::load::Service, found: &mut Vec<Diagnostic>) {
    for (name, _) in service.doc.env.iter() {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let own = name.value == "PORT" || name.starts_with("ONDOL_") || name.starts_with("LISTEN_");
        if !plain {
            let message = format!(
                "`{}` is no name of a variable: letters, digits and _, no digit first",
                name.value
            );
            found.push(Diagnostic::error(Code::Value, name.at, message));
        } else if own {
            let here = Diagnostic::error(Code::Reserved, name.at, format!("`{}` is set by Ondol", name.value));
            found.push(here.hint(format!("give your own variable the value `${{{}}}`", name.value)));
        }
    }
}
