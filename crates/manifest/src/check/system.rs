//! ondol.yaml: ports, issuers, the store, shared builds.

use super::{World, some_time};
use crate::diagnostic::{Code, Diagnostic};
use crate::doc::policy::PolicyDoc;
use crate::doc::system::{IssuerDoc, SystemDoc};
use crate::lower::{DEFAULT_CONSOLE, DEFAULT_GATEWAY, svc};
use crate::source::{At, Span};
use crate::value::{Short, Words};
use std::net::SocketAddr;

/// A store that is a file, or a server.
pub(super) const DATABASE_FORMS: &str = "write `sqlite:FILE` or `postgres://USER@HOST/NAME`";

pub(super) fn check(world: &World<'_>, system: &SystemDoc, found: &mut Vec<Diagnostic>) {
    if !ondol_core::id::is_dns_label(&system.system.value) {
        let message = format!(
            "`{}` is not a system name: 1 to 63 of a-z, 0-9 and -, a letter first, no - last",
            *system.system
        );
        found.push(Diagnostic::error(Code::Value, system.system.at, message));
    }
    if system.services.value.is_empty() && !world.broken_within(system.services.at) {
        found.push(
            Diagnostic::error(Code::Value, system.services.at, "no services")
                .hint("name their folders, as `[services/*]`"),
        );
    }
    ports(system, found);
    for (_, listener) in system.gateway.iter().flat_map(|gateway| gateway.listeners.iter()) {
        listener.tls.iter().for_each(|tls| super::tls::check(world, tls, found));
    }
    for (name, issuer) in system.gateway.iter().flat_map(|gateway| gateway.issuers.iter()) {
        check_issuer(world, &name.value, issuer, found);
    }
    database(&system.store, found);
    if let Some(defaults) = &system.defaults {
        policy(world, defaults, found);
    }
    for (name, build) in system.builds.iter() {
        no_variables(&build.run, "a build", found);
        build_name(world, &name.value, name.at, found);
        super::services::folder(world, world.root, &build.dir, found);
        super::services::program_of_build(world, &build.run, found);
    }
}

/// A build's name is a file's name in `.ondol/builds/`, and a service's own build has the service's name.
fn build_name(world: &World<'_>, name: &str, at: Span, found: &mut Vec<Diagnostic>) {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let message = "a build's name is one word of letters, digits, - and _";
        found.push(Diagnostic::error(Code::Value, at, message));
    }
    if world.parts.services.iter().any(|service| service.name.as_str() == name) {
        let here = Diagnostic::error(Code::Value, at, format!("`{name}` is the name of a service too"));
        found.push(here.hint("a service's own build has the service's name; choose another for the shared one"));
    }
}

/// Every address that is listened on, each port once.
fn ports(system: &SystemDoc, found: &mut Vec<Diagnostic>) {
    let listeners = system.gateway.iter().flat_map(|gateway| gateway.listeners.iter());
    let mut taken: Vec<(String, SocketAddr, Span)> = listeners
        .map(|(name, doc)| (format!("the listener `{}`", name.value), doc.bind.value.0, doc.bind.at))
        .collect();
    let usual = |text: &str| text.parse::<SocketAddr>().ok();
    if taken.is_empty() {
        taken.extend(usual(DEFAULT_GATEWAY).map(|address| ("the gateway".into(), address, Span::BUILT_IN)));
    }
    let console = system
        .console
        .as_ref()
        .map(|console| (console.bind.value.0, console.bind.at));
    let console = console.or(usual(DEFAULT_CONSOLE).map(|address| (address, Span::BUILT_IN)));
    taken.extend(console.map(|(address, at)| ("the console".into(), address, at)));
    let mesh = system.mesh.as_ref().and_then(|mesh| mesh.bind);
    taken.extend(mesh.map(|bind| ("the mesh".into(), bind.value.0, bind.at)));
    for (index, (what, address, at)) in taken.iter().enumerate() {
        let clash = taken[..index].iter().find(|(_, other, _)| same_port(*address, *other));
        if let Some((other, other_address, other_at)) = clash {
            // One of the two is written: both are built in only where they differ.
            let (here, there) = if *at == Span::BUILT_IN {
                (*other_at, *at)
            } else {
                (*at, *other_at)
            };
            let message = format!("{what} listens on {address}, which {other} has taken ({other_address})");
            let clash = Diagnostic::error(Code::Port, here, message);
            found.push(if there == Span::BUILT_IN {
                clash.hint("that is its usual address; give one of the two another `bind`")
            } else {
                clash.note(there, "here")
            });
        }
    }
}

fn same_port(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn check_issuer(world: &World<'_>, name: &str, issuer: &IssuerDoc, found: &mut Vec<Diagnostic>) {
    if issuer.algorithms.value.is_empty() && !world.broken_within(issuer.algorithms.at) {
        let message = format!("the issuer `{name}` takes no algorithm");
        found.push(
            Diagnostic::error(Code::Value, issuer.algorithms.at, message)
                .hint("name those it signs with, as `[EdDSA]`"),
        );
    }
    match svc(&issuer.jwks.value) {
        Some((service, _)) => {
            let named = issuer.jwks.with(service.to_string());
            world.known_service(&named, "the keys come from", found);
        }
        None => {
            let here = Diagnostic::error(
                Code::Value,
                issuer.jwks.at,
                format!("`{}` is not `svc://SERVICE/PATH`", *issuer.jwks),
            );
            let elsewhere = issuer.jwks.starts_with("https://");
            let hint = "keys of issuers outside the system are not in this version; serve them by a service of yours";
            found.push(if elsewhere { here.hint(hint) } else { here });
        }
    }
}

/// `sqlite:FILE` or `postgres://…`. The value is not shown: it may hold a password.
pub(super) fn database(written: &At<String>, found: &mut Vec<Diagnostic>) {
    let good = match written.strip_prefix("sqlite:") {
        Some(file) => {
            !file.is_empty() && !file.split('/').any(|part| part == "..") && !file.ends_with('/') && !file.contains('?')
        }
        None => written.starts_with("postgres://") || written.starts_with("postgresql://"),
    };
    if !good {
        let inside = if written.starts_with("sqlite:") {
            "the file's name cannot be used"
        } else {
            "not a database that is known"
        };
        found.push(Diagnostic::error(Code::Value, written.at, inside).hint(DATABASE_FORMS));
    }
}

/// Values of a policy that cannot be meant.
pub(super) fn policy(world: &World<'_>, doc: &PolicyDoc, found: &mut Vec<Diagnostic>) {
    layer(world, &doc.layer(), found);
}

/// Extra attempts beyond this only add load where there is too much already.
const MAX_RETRIES: u32 = 10;

/// Hedging is for the slow end; beyond this it is load.
const MAX_HEDGED: f64 = 0.2;

/// What was well a day ago is no answer, but a mistake in the unit.
const LONGEST_STALE_MS: u64 = 86_400_000;

/// The same of any level.
pub(super) fn layer(world: &World<'_>, layer: &crate::doc::policy::Layer<'_>, found: &mut Vec<Diagnostic>) {
    some_time(
        &[
            ("timeout", layer.timeout),
            ("open", layer.breaker.and_then(|breaker| breaker.open)),
        ],
        found,
    );
    if let Some(retries) = layer.retries.filter(|retries| retries.value > MAX_RETRIES) {
        found.push(Diagnostic::error(
            Code::Value,
            retries.at,
            format!("at most {MAX_RETRIES} extra attempts are made"),
        ));
    }
    if let Some(share) = layer
        .hedge
        .map(|hedge| hedge.share)
        .filter(|share| share.value.0 > MAX_HEDGED)
    {
        let message = "at most 20 % of the requests are sent twice";
        found.push(Diagnostic::error(Code::Value, share.at, message));
    }
    if let (Some(cache), Some(stream)) = (layer.cache, layer.stream.filter(|stream| stream.value)) {
        let here = Diagnostic::error(Code::Conflict, cache.at(|doc| doc.at), "a stream takes no `cache`");
        found.push(here.note(stream.at, "it has no end, so there is nothing whole to keep"));
    }
    if let Some(Short::Long(cache)) = layer.cache {
        let spans = [cache.stale_if_error, cache.stale_while_revalidate];
        for span in spans
            .into_iter()
            .flatten()
            .filter(|span| span.value.0 > LONGEST_STALE_MS)
        {
            let message = "an answer is given for at most a day after its freshness";
            found.push(Diagnostic::error(Code::Value, span.at, message));
        }
    }
    if let Some(Short::Long(fallback)) = layer.fallback {
        super::fallback::check(world, fallback, found);
    }
    if let Some(balance) = layer.balance {
        super::balance::check(world, balance, found);
    }
    for zero in [
        layer.limit.and_then(|limit| limit.burst),
        layer.breaker.and_then(|breaker| breaker.minimum),
    ]
    .into_iter()
    .flatten()
    {
        if zero.value == 0 {
            found.push(Diagnostic::error(Code::Value, zero.at, "must be at least 1"));
        }
    }
}

/// Commands that no instance runs have no instance's variables.
pub(super) fn no_variables(words: &At<Words>, what: &str, found: &mut Vec<Diagnostic>) {
    for used in &words.value.uses {
        let here = Diagnostic::error(Code::Variable, used.at, format!("{what} has no `${{{}}}`", used.name));
        found.push(here.hint(
            "only `run` and `env` of a service take an instance's variables; `${env:NAME}` reads Ondol's environment",
        ));
    }
}
