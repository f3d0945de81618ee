//! `service.yaml`.

use super::events::EventsDoc;
use super::policy::PolicyDoc;
use super::route::RouteDoc;
use crate::document::document;
use crate::read::{Filled, Named};
use crate::source::At;
use crate::value::{Family, Millis, Need, Pattern, Protocol, Socket, UrlPath, Variables, Words};
use ondol_core::id::ServiceName;

document! {
    /// service.yaml: one service, written by its team. `service` and `run` alone are enough.
    "service.yaml" struct ServiceDoc {
        /// Its name, a DNS label, unique in the system; in variables upper case with `_` for `-`.
        service: At<ServiceName>,
        /// Who owns it, for people.
        owner: Option<OwnerDoc>,
        /// What it is, for people.
        about: Option<At<String>>,
        /// Programs that must be on PATH, such as `cargo` or `node>=20`; without them the service is skipped.
        needs: Vec<At<String>>,
        /// Where build and run start, relative to this file.
        dir: At<String> = ".",
        /// A shared build of ondol.yaml, or a command. Absent: nothing to build.
        build: Option<At<Words>>,
        /// Files that the build's hash covers: globs relative to this file. Known for cargo, npm, python, go and maven.
        inputs: Vec<At<String>>,
        /// The command: words as a shell would split them, no shell; relative to `dir`.
        run: At<Words>,
        /// Its environment, with an instance's variables such as `${PORT}`.
        env: Named<At<Variables>>,
        /// How it gets its listening socket: `port` in `PORT`, or `fds` by `LISTEN_FDS`.
        socket: At<Socket> = "port",
        /// How it speaks.
        protocol: At<Protocol> = "http1",
        /// How to see that it is ready. Absent: its port accepts a connection.
        ready: Filled<ReadyDoc>,
        /// A path that the proxy asks on each instance; out of rotation and back by it.
        health: Option<At<UrlPath>>,
        /// How many requests it may have at once from one proxy; between these the limit follows its latency.
        concurrency: Filled<ConcurrencyDoc>,
        /// From no new requests to SIGTERM; at least the longest route timeout.
        drain: At<Millis> = "30s",
        /// From SIGTERM to SIGKILL.
        stop_within: At<Millis> = "10s",
        /// How many instances.
        scale: Filled<ScaleDoc>,
        /// Whether old and new generation may run together during a replacement.
        overlap: At<bool> = "true",
        /// Its contract, OpenAPI 3 in YAML or JSON, internal paths too, or a `.proto` file for gRPC; relative to this file.
        api: Option<At<String>>,
        /// Its database: `sqlite:FILE`, under `.ondol/data/SERVICE/`, or `postgres://…`, connected to and never started.
        database: Option<At<String>>,
        /// Services it may call: `required` or `optional`.
        depends_on: Named<At<Need>>,
        /// Services of other systems that may call it, by system: a peer of ondol.yaml's `mesh`.
        callers: Named<Vec<At<ServiceName>>>,
        /// Policies of its routes and of edges to it.
        defaults: Option<PolicyDoc>,
        /// Its gateway routes.
        routes: Vec<RouteDoc>,
        /// Event stream families it owns: it alone appends to `FAMILY-*`.
        streams: Vec<At<Family>>,
        /// Events that it publishes, and those that it subscribes to.
        events: Filled<EventsDoc>,
        /// Whether rows of the table `ondol_outbox` in its `database` are published as events.
        outbox: At<bool> = "false",
        /// Its saga files, relative to this file.
        sagas: Vec<At<String>>,
        /// Its reconciliation files, relative to this file.
        reconcile: Vec<At<String>>,
        /// Its files of examples, relative to this file: requests, and what the gateway does with them.
        examples: Vec<At<String>>,
    }
    later: "slo", "pipeline";
}

document! {
    /// Who owns a service.
    "owner" struct OwnerDoc {
        /// The team.
        team: Option<At<String>>,
        /// How to reach it.
        contact: Option<At<String>>,
    }
}

document! {
    /// How to see that an instance is ready: one of `http`, `tcp`, `log`, `exec`.
    "ready" struct ReadyDoc {
        /// A path: 2xx is ready.
        http: Option<At<UrlPath>>,
        /// Its port accepts a connection.
        tcp: Option<At<bool>>,
        /// A line of its output matches this regular expression.
        log: Option<At<Pattern>>,
        /// This command ends with 0.
        exec: Option<At<Words>>,
        /// The longest pause between two questions; the first come 20 ms apart.
        interval: At<Millis> = "1s",
        /// For one question.
        timeout: At<Millis> = "1s",
        /// Not ready for so long: killed, and started again after a pause.
        start_within: At<Millis> = "30s",
    }
    later: "grpc";
}

document! {
    /// How many requests at once. Beyond the limit they wait in line, and are refused where that is no use. Streams do not count.
    "concurrency" struct ConcurrencyDoc {
        /// At least, however slow it becomes. Built in: `10`, or `max` if that is less.
        min: Option<At<u32>>,
        /// At most, however fast it is; the same as `min` fixes the limit. Built in: `1000`, or `min` if that is more.
        max: Option<At<u32>>,
    }
}

document! {
    /// How many instances; `ondol scale` moves within these.
    "scale" struct ScaleDoc {
        /// At least.
        min: At<u32> = "1",
        /// At most. Absent: `min`.
        max: Option<At<u32>>,
    }
}
