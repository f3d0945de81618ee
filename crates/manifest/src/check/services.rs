//! service.yaml: dependencies, programs, readiness, variables.

use super::system::{database, no_variables, policy};
use super::{World, some_time};
use crate::diagnostic::{Code, Diagnostic, nearest, suggest};
use crate::doc::service::ReadyDoc;
use crate::env::is_program;
use crate::load::Service;
use crate::lower::longest_timeout_ms;
use crate::reference::Use;
use crate::source::{At, Span, join};
use crate::value::{Socket, Words};
use std::path::Path;

/// Instances of one service.
const MAX_INSTANCES: u32 = 100;

pub(super) fn check(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    for service in &world.parts.services {
        dependencies(world, service, found);
        folder(world, &service.folder, &service.doc.dir, found);
        build(world, service, found);
        run(world, service, found);
        readiness(world, service, found);
        scale(service, found);
        concurrency(service, found);
        variables(world, service, found);
        limits(world, service, found);
        contract(service, found);
    }
    cycles(world, found);
}

/// A folder that commands start in must be there.
pub(super) fn folder(world: &World<'_>, base: &Path, dir: &At<String>, found: &mut Vec<Diagnostic>) {
    let path = join(base, dir);
    if dir.at != Span::BUILT_IN && !path.is_dir() {
        let message = format!(
            "the folder `{}` is not there",
            crate::source::show_path(world.root, &path)
        );
        found.push(Diagnostic::error(Code::File, dir.at, message).hint("`dir` is relative to this file's folder"));
    }
}

fn dependencies(world: &World<'_>, service: &Service, found: &mut Vec<Diagnostic>) {
    for (name, _) in service.doc.depends_on.iter() {
        if name.value == service.name.as_str() {
            found.push(Diagnostic::error(
                Code::Cycle,
                name.at,
                format!("`{}` depends on itself", name.value),
            ));
        } else if matches!(&*name.value, "ondol" | "controller") {
            let here = Diagnostic::error(Code::Reserved, name.at, format!("`{}` is Ondol itself", name.value));
            found.push(here.hint("every service reaches it at `ONDOL_URL`; take the line out"));
        } else {
            world.known_service(name, "depends on", found);
        }
    }
}

/// Circles of required dependencies, each told once, from its first name.
fn cycles(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    for circle in crate::graph::cycles(&world.parts.services) {
        let names: Vec<&str> = circle
            .iter()
            .map(|at| world.parts.services[*at].name.as_str())
            .collect();
        let edge = |from: usize, to: usize| {
            let depends = &world.parts.services[circle[from]].doc.depends_on;
            depends
                .iter()
                .find(|(name, _)| name.value == names[to])
                .map(|(name, _)| name.at)
        };
        let Some(first) = edge(0, 1 % names.len()) else {
            continue;
        };
        let message = format!(
            "these services require each other, so none can start first: {} → {}",
            names.join(" → "),
            names[0]
        );
        let mut here = Diagnostic::error(Code::Cycle, first, message).hint("make one of them `optional`");
        for from in 1..names.len() {
            if let Some(at) = edge(from, (from + 1) % names.len()) {
                here = here.note(
                    at,
                    format!("{} requires {}", names[from], names[(from + 1) % names.len()]),
                );
            }
        }
        found.push(here);
    }
}

fn build(world: &World<'_>, service: &Service, found: &mut Vec<Diagnostic>) {
    let Some(build) = &service.doc.build else { return };
    no_variables(build, "a build", found);
    let Some(system) = world.system() else { return };
    let shared = || system.builds.iter().map(|(name, _)| name.value.as_str());
    if let [word] = build.value.words.as_slice() {
        if shared().any(|name| name == word) {
            return;
        }
        if world.env.program(word).is_none() && !word.contains('/') {
            let message = format!("`{word}` is neither a build of ondol.yaml nor a program");
            found.push(
                Diagnostic::error(Code::UnknownName, build.at, message)
                    .hint("name it under `builds:` in ondol.yaml, or write the whole command")
                    .maybe_hint(suggest(word, shared())),
            );
            return;
        }
    }
    if service.skipped.is_none() {
        program_of_build(world, build, found);
    }
}

/// The tool that a build runs must be on PATH, or a file.
pub(super) fn program_of_build(world: &World<'_>, build: &At<Words>, found: &mut Vec<Diagnostic>) {
    let Some(program) = build.value.words.first() else {
        return;
    };
    let skipping = world.parts.services.iter().any(|service| {
        service.skipped.is_some()
            && service
                .doc
                .needs
                .iter()
                .any(|need| need.value.split(['>', '=', '<']).next().map(str::trim) == Some(program))
    });
    if !program.contains('/') && !program.contains("${") && world.env.program(program).is_none() && !skipping {
        let here = Diagnostic::error(
            Code::Program,
            build.at,
            format!("the program `{program}` is not on PATH"),
        );
        found.push(here.hint(format!(
            "install it, or name it in `needs: [{program}]`, so that the services that use it are skipped"
        )));
    }
}

/// The program must be there, unless something builds it.
fn run(world: &World<'_>, service: &Service, found: &mut Vec<Diagnostic>) {
    let doc = &service.doc;
    let Some(program) = doc.run.value.words.first().filter(|program| !program.contains("${")) else {
        return;
    };
    let own_path = doc.env.get("PATH").is_some();
    if service.skipped.is_some() {
        return;
    }
    if !program.contains('/') {
        if !own_path && world.env.program(program).is_none() {
            let here = Diagnostic::error(
                Code::Program,
                doc.run.at,
                format!("the program `{program}` is not on PATH"),
            );
            found.push(here.hint(format!("install it, name it in `needs: [{program}]` so that the service is skipped, or write its path, as `./{program}`")));
        }
        return;
    }
    let path = join(&join(&service.folder, &doc.dir.value), program);
    if doc.build.is_none() && !is_program(&path) {
        let shown = crate::source::show_path(world.root, &path);
        let why = if path.exists() { "cannot be run" } else { "is not there" };
        let here = Diagnostic::error(
            Code::Program,
            doc.run.at,
            format!("the program `{shown}` {why}, and nothing builds it"),
        );
        found.push(here.hint("correct the path (it is relative to `dir`), or say with `build:` how it is made"));
    }
}

fn readiness(world: &World<'_>, service: &Service, found: &mut Vec<Diagnostic>) {
    let ready: &ReadyDoc = &service.doc.ready;
    let ways = ways(ready);
    if let [(_, first), (_, second), ..] = ways.as_slice() {
        let here = Diagnostic::error(Code::Conflict, *second, "ready is asked in one way, not in two");
        found.push(here.note(*first, "first here"));
    }
    if let Some(exec) = &ready.exec {
        no_variables(exec, "a readiness command", found);
    }
    if let Some(tcp) = ready.tcp.filter(|tcp| !tcp.value) {
        found.push(
            Diagnostic::error(Code::Value, tcp.at, "`tcp: false` says nothing").hint("write `http`, `log` or `exec`"),
        );
    }
    let spans = [
        ("interval", ready.interval),
        ("timeout", ready.timeout),
        ("start_within", ready.start_within),
    ];
    some_time(&spans.map(|(key, span)| (key, Some(span))), found);
    if ready.timeout.value > ready.start_within.value {
        found.push(Diagnostic::error(
            Code::Value,
            ready.timeout.at,
            "one question may not take longer than `start_within`",
        ));
    }
    let by_tcp = ready.http.is_none() && ready.log.is_none() && ready.exec.is_none();
    if service.doc.socket.value == Socket::Fds && by_tcp && !world.broken_within(service.doc.at) {
        let message = "with `socket: fds` the port is open before the program runs, so a connection proves nothing";
        let here = Diagnostic::error(Code::Conflict, service.doc.socket.at, message);
        found.push(here.hint("add `ready: { http: /PATH }`, `log` or `exec`"));
    }
}

fn ways(ready: &ReadyDoc) -> Vec<(&'static str, Span)> {
    let ways = [
        ("http", ready.http.as_ref().map(|way| way.at)),
        ("tcp", ready.tcp.map(|way| way.at)),
        ("log", ready.log.as_ref().map(|way| way.at)),
        ("exec", ready.exec.as_ref().map(|way| way.at)),
    ];
    ways.into_iter().filter_map(|(way, at)| Some((way, at?))).collect()
}

/// A line as long as the limit may form; each in it is a connection and its buffers.
const MAX_CONCURRENCY: u32 = 10_000;

fn concurrency(service: &Service, found: &mut Vec<Diagnostic>) {
    let written = [service.doc.concurrency.min, service.doc.concurrency.max];
    for bound in written.into_iter().flatten() {
        if !(1..=MAX_CONCURRENCY).contains(&bound.value) {
            let message = format!("must be from 1 to {MAX_CONCURRENCY}");
            found.push(Diagnostic::error(Code::Value, bound.at, message));
        }
    }
    if let [Some(min), Some(max)] = written
        && max.value < min.value
    {
        let message = format!("`max` is below `min`, {} < {}", max.value, min.value);
        found.push(Diagnostic::error(Code::Value, max.at, message));
    }
}

fn scale(service: &Service, found: &mut Vec<Diagnostic>) {
    let scale = &service.doc.scale;
    if scale.min.value == 0 {
        found.push(Diagnostic::error(
            Code::Value,
            scale.min.at,
            "at least one instance runs",
        ));
    }
    let (max, at) = scale
        .max
        .map_or((scale.min.value, scale.min.at), |max| (max.value, max.at));
    if max < scale.min.value {
        found.push(Diagnostic::error(
            Code::Value,
            at,
            format!("`max` is below `min`, {max} < {}", scale.min.value),
        ));
    }
    if max > MAX_INSTANCES {
        found.push(Diagnostic::error(
            Code::Limit,
            at,
            format!("at most {MAX_INSTANCES} instances of a service run"),
        ));
    }
}

/// `${…}` in `run` and `env` must be something that an instance has.
fn variables(world: &World<'_>, service: &Service, found: &mut Vec<Diagnostic>) {
    let doc = &service.doc;
    // What `database` or `depends_on` would give may be what could not be read.
    let unsure = world.broken_within(doc.at);
    let mut known: Vec<String> = [
        "ONDOL_SERVICE",
        "ONDOL_INSTANCE",
        "ONDOL_RELEASE",
        "ONDOL_DATA",
        "ONDOL_URL",
        "ONDOL_TOKEN",
        "GATEWAY_URL",
    ]
    .map(str::to_owned)
    .into();
    known.extend((doc.socket.value == Socket::Port).then(|| "PORT".to_owned()));
    known.extend(doc.database.as_ref().map(|_| "DATABASE_URL".to_owned()));
    known.extend(
        doc.depends_on
            .iter()
            .map(|(name, _)| format!("{}_URL", name.to_ascii_uppercase().replace('-', "_"))),
    );
    let in_env = doc.env.iter().flat_map(|(_, value)| &value.value.uses);
    for used in doc
        .run
        .value
        .uses
        .iter()
        .chain(in_env)
        .filter(|used| !(known.contains(&used.name) || unsure && used.name.ends_with("_URL")))
    {
        found.push(unknown_variable(used, service, &known));
    }
}

fn unknown_variable(used: &Use, service: &Service, known: &[String]) -> Diagnostic {
    let here = Diagnostic::error(
        Code::Variable,
        used.at,
        format!("an instance of `{}` has no `${{{}}}`", service.name, used.name),
    );
    let name = used.name.as_str();
    here.hint(match (name, name.strip_suffix("_URL")) {
        ("PORT", _) => "with `socket: fds` there is no port; take the socket from LISTEN_FDS".to_owned(),
        ("DATABASE_URL", _) => "say with `database:` which one".to_owned(),
        _ => match nearest(name, known.iter().map(String::as_str)) {
            Some(word) => format!("did you mean `${{{word}}}`?"),
            None => match name.strip_suffix("_URL").filter(|target| !target.is_empty()) {
                Some(target) => format!(
                    "name `{}` in `depends_on`",
                    target.to_ascii_lowercase().replace('_', "-")
                ),
                None => format!(
                    "`${{env:{name}}}` reads Ondol's own environment; an instance has {}",
                    known.join(", ")
                ),
            },
        },
    })
}

fn limits(world: &World<'_>, service: &Service, found: &mut Vec<Diagnostic>) {
    let doc = &service.doc;
    some_time(&[("stop_within", Some(doc.stop_within))], found);
    if let Some(written) = &doc.database {
        database(written, found);
    }
    if let Some(defaults) = &doc.defaults {
        policy(world, defaults, found);
    }
    let Some(system) = world.system() else { return };
    let longest = longest_timeout_ms(system, doc);
    if doc.drain.at != Span::BUILT_IN && doc.drain.value.0 < longest {
        let span = ondol_core::unit::show_duration(std::time::Duration::from_millis(longest));
        let message = format!("`drain` is raised to {span}: a request may run so long");
        found.push(Diagnostic::warning(Code::Raised, doc.drain.at, message));
    }
}

fn contract(service: &Service, found: &mut Vec<Diagnostic>) {
    if service.doc.api.is_none() {
        let message = format!("`{}` has no contract, so calls to it cannot be checked", service.name);
        found.push(
            Diagnostic::warning(Code::NoContract, service.doc.service.at, message)
                .hint("write an OpenAPI file, or a `.proto` for gRPC, and name it with `api:`"),
        );
    }
}
