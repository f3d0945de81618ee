//! Events: that each type has one publisher, that what is subscribed to is published, that pushes arrive somewhere.

use super::{World, some_time, twice};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::doc::events::SubscribeDoc;
use crate::load::Service;
use crate::openapi::Found;
use crate::source::{At, Span};
use crate::value_event::AnyOf;
use ondol_events::relay::OUTBOX;
use std::collections::BTreeMap;

/// Subscriptions of one service: each is a loop of its own.
const MAX_SUBSCRIPTIONS: usize = 100;
/// Keys of one subscription in flight at once.
const MAX_PARALLEL: u32 = 256;
/// Types of one subscription, a pattern counted by what fits it: a read of the log looks for no more.
const MAX_TYPES: usize = 1_000;
/// Longest name of an attribute, as CloudEvents has it.
const LONGEST_ATTRIBUTE: usize = 20;

pub(super) fn check(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    let published = published(world, found);
    // What could not be read may publish anything.
    let all_known = world.parts.broken_services.is_empty() && !world.parts.services.iter().any(|s| unsure(world, s));
    for service in &world.parts.services {
        family(service, found);
        outbox(world, service, found);
        names(service, found);
        for doc in &service.doc.events.subscribes {
            values(world, doc, found);
            push(service, doc, found);
            for wanted in doc.types.value.iter().filter(|_| all_known) {
                known(wanted, &published, found);
            }
            not_too_many(doc, &published, found);
        }
    }
}

fn unsure(world: &World<'_>, service: &Service) -> bool {
    let at = service.doc.events.at;
    world.broken_within(if at == Span::BUILT_IN { service.doc.at } else { at })
}

/// Every type with the place that names it. One type has one publisher, so that its schema and its order are somebody's.
fn published<'a>(world: &World<'a>, found: &mut Vec<Diagnostic>) -> BTreeMap<&'a str, Span> {
    let mut types: BTreeMap<&str, Span> = BTreeMap::new();
    for service in &world.parts.services {
        for doc in &service.doc.events.publishes {
            let (kind, at) = (&*doc.0.r#type.value.0, doc.0.r#type.at);
            match types.get(kind) {
                Some(first) => twice("the event type", kind, *first, at, found),
                None => drop(types.insert(kind, at)),
            }
        }
    }
    types
}

fn known(wanted: &At<AnyOf>, published: &BTreeMap<&str, Span>, found: &mut Vec<Diagnostic>) {
    if published.keys().any(|kind| wanted.value.fits(kind)) {
        return;
    }
    let text = &wanted.value.0;
    let here = Diagnostic::error(Code::UnknownName, wanted.at, format!("no service publishes `{text}`"));
    found.push(here.hint(match nearest(text, published.keys().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "the service that publishes it names it under `events: { publishes: […] }`".to_owned(),
    }));
}

fn not_too_many(doc: &SubscribeDoc, published: &BTreeMap<&str, Span>, found: &mut Vec<Diagnostic>) {
    let fits = |kind: &&&str| doc.types.value.iter().any(|wanted| wanted.value.fits(kind));
    let count = published.keys().filter(fits).count();
    if count > MAX_TYPES {
        let message = format!("{count} types are published that fit; at most {MAX_TYPES} of a subscription are taken");
        found.push(Diagnostic::error(Code::Limit, doc.types.at, message));
    }
}

/// Published events live in streams of a family that no service may append to.
fn family(service: &Service, found: &mut Vec<Diagnostic>) {
    for family in service
        .doc
        .streams
        .iter()
        .filter(|family| family.value.0 == ondol_events::FAMILY)
    {
        let message = format!("the stream family `{}` is Ondol's own", family.value.0);
        let here = Diagnostic::error(Code::Reserved, family.at, message);
        found.push(here.hint("published events are kept there; choose another name"));
    }
}

fn outbox(world: &World<'_>, service: &Service, found: &mut Vec<Diagnostic>) {
    let doc = &service.doc;
    if !doc.outbox.value || unsure(world, service) {
        return;
    }
    if doc.database.is_none() && !world.broken_within(doc.at) {
        let here = Diagnostic::error(
            Code::Conflict,
            doc.outbox.at,
            "an outbox is a table of the service's `database`",
        );
        found.push(here.hint("say with `database:` which one, or take the line out"));
    }
    if doc.events.publishes.is_empty() {
        let here = Diagnostic::error(
            Code::Conflict,
            doc.outbox.at,
            "an outbox, and nothing that it may publish",
        );
        found.push(here.hint("name the types of its rows under `events: { publishes: […] }`"));
    }
}

fn names(service: &Service, found: &mut Vec<Diagnostic>) {
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    let subscriptions = &service.doc.events.subscribes;
    for doc in subscriptions {
        match names.get(&*doc.name.value.0) {
            Some(first) => twice("the subscription", &doc.name.value.0, *first, doc.name.at, found),
            None => drop(names.insert(&doc.name.value.0, doc.name.at)),
        }
        if doc.name.value.0 == OUTBOX {
            let here = Diagnostic::error(
                Code::Reserved,
                doc.name.at,
                format!("the name `{OUTBOX}` is Ondol's own"),
            );
            found.push(here.hint(format!(
                "`{}.{OUTBOX}` names the dead letters of its outbox",
                service.name
            )));
        }
    }
    if let Some(doc) = subscriptions.get(MAX_SUBSCRIPTIONS) {
        let message = format!(
            "{} subscriptions; at most {MAX_SUBSCRIPTIONS} of a service are taken",
            subscriptions.len()
        );
        found.push(Diagnostic::error(Code::Limit, doc.at, message));
    }
}

fn values(world: &World<'_>, doc: &SubscribeDoc, found: &mut Vec<Diagnostic>) {
    let mut wrong = |at, message: String| found.push(Diagnostic::error(Code::Value, at, message));
    if doc.types.value.is_empty() && !world.broken_within(doc.types.at) {
        wrong(doc.types.at, "a subscription to nothing: name a type".into());
    }
    if !(1..=MAX_PARALLEL).contains(&doc.parallel.value) {
        wrong(
            doc.parallel.at,
            format!("from 1 to {MAX_PARALLEL} keys are in flight at once"),
        );
    }
    if doc.retry.attempts.value == 0 {
        wrong(doc.retry.attempts.at, "at least one attempt is made".into());
    }
    for (name, _) in doc.extensions.iter() {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !(1..=LONGEST_ATTRIBUTE).contains(&name.len()) || !plain {
            let rule = format!("1 to {LONGEST_ATTRIBUTE} of a-z and 0-9");
            wrong(
                name.at,
                format!("`{}` is not an attribute of CloudEvents: {rule}", name.value),
            );
        }
    }
    let spans = [
        ("timeout", doc.timeout),
        ("first", doc.retry.first),
        ("cap", doc.retry.cap),
    ];
    some_time(&spans.map(|(key, span)| (key, Some(span))), found);
}

fn push(service: &Service, doc: &SubscribeDoc, found: &mut Vec<Diagnostic>) {
    let Some(path) = &doc.push else {
        if doc.timeout.at != Span::BUILT_IN {
            let here = Diagnostic::error(
                Code::Conflict,
                doc.timeout.at,
                "`timeout` is a push's, and nothing is pushed",
            );
            found.push(
                here.hint("a pull says itself how long its lease lasts; add `push: /PATH`, or take the line out"),
            );
        }
        return;
    };
    // A service without a contract has been warned of as a whole.
    let Some(api) = &service.api else { return };
    let (message, near) = match api.operation("POST", &path.value.0) {
        Found::Operation(_) => return,
        Found::NoMethod(known) => (
            format!("the contract of `{}` has no POST at `{known}`", service.name),
            None,
        ),
        Found::NoPath => {
            let known = api.paths().map(|(path, _)| path);
            let message = format!("the contract of `{}` has no path `{}`", service.name, path.value.0);
            (message, nearest(&path.value.0, known))
        }
    };
    let contract = Span {
        file: api.file,
        start: 0,
        end: 0,
    };
    let here = Diagnostic::error(Code::NoOperation, path.at, message).note(contract, "the contract");
    found.push(here.maybe_hint(near.map(|near| format!("did you mean `{near}`?"))));
}
