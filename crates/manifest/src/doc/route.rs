//! Gateway routes: which requests, by whom, how.

use super::policy::{BalanceDoc, BreakerDoc, CacheDoc, FallbackDoc, HedgeDoc, Layer, LimitDoc, layer};
use super::traffic::{BackendDoc, CorsDoc, MirrorDoc, SessionDoc};
use crate::document::document;
use crate::read::Named;
use crate::source::At;
use crate::value::{
    Bytes, FieldName, FieldValue, Host, Method, Millis, Need, Nothing, Pattern, ProtoName, ProtoWord, RedirectStatus,
    Scheme, Short, UrlPath,
};
use crate::value_balance::Algorithm;
use ondol_core::id::RouteName;
use ondol_core::id::SagaName;
use ondol_core::wire::proxy::Priority;

document! {
    /// A gateway route; paths are passed on as they are, unless `rewrite` says otherwise.
    "a route" struct RouteDoc {
        /// Unique in the system. Made as `SERVICE-N` from its place in the list; must be written with `start`, since keys are scoped by it.
        name: Option<At<RouteName>>,
        /// Which requests it takes.
        r#match: At<MatchDoc>,
        /// Who may use it. Absent: everybody.
        auth: Option<AuthDoc>,
        /// Start a saga instead of passing the request on.
        start: Option<StartDoc>,
        /// Send the client elsewhere instead of passing the request on.
        redirect: Option<RedirectDoc>,
        /// Another host or path for the service.
        rewrite: Option<RewriteDoc>,
        /// Changes to the request's header fields.
        request_headers: Option<FieldChangesDoc>,
        /// Changes to the answer's header fields, whoever made the answer.
        response_headers: Option<FieldChangesDoc>,
        /// Which services take the requests, by weight. Absent: the service whose route it is.
        backends: Vec<BackendDoc>,
        /// Which services get copies. Absent: none.
        mirrors: Vec<MirrorDoc>,
        /// Keeps the requests of one client at one instance. Absent: any instance gets any request.
        session: Option<SessionDoc>,
        /// Which pages of other origins may use it. Absent: what the service says.
        cors: Option<CorsDoc>,
        /// Deadline of the whole request. Built in: `15s`.
        timeout: Option<At<Millis>>,
        /// For SSE, WebSocket and gRPC streams: no deadline, but an idle limit of 60 s. Built in: `false`.
        stream: Option<At<bool>>,
        /// Extra attempts, of safe or keyed requests only. Built in: `2`.
        retries: Option<At<u32>>,
        /// A token bucket. Built in: no limit.
        limit: Option<LimitDoc>,
        /// When calls to the service stop for a while.
        breaker: Option<BreakerDoc>,
        /// The largest request body. Built in: `10MiB`.
        body_limit: Option<At<Bytes>>,
        /// Which requests are shed last when there are too many: `critical`, `default`, `batch`, `best-effort`. Built in: `default`.
        priority: Option<At<Priority>>,
        /// A second attempt beside one that takes longer than nearly all do. Built in: none.
        hedge: Option<HedgeDoc>,
        /// Which instance: `peak-ewma`, `least-request`, `round-robin`, or `ring-hash` and `maglev` with a `hash`. Built in: `peak-ewma`.
        balance: Option<Short<At<Algorithm>, BalanceDoc>>,
        /// Whether answers to `GET` are kept, as HTTP's own rules and the answers allow: `true`, `false`, or how. Built in: none.
        cache: Option<Short<At<bool>, CacheDoc>>,
        /// What stands in for an error of `GET`: an answer, another service, or `none`. Built in: none.
        fallback: Option<Short<At<Nothing>, FallbackDoc>>,
    }
}

impl RouteDoc {
    /// Its own level of policies.
    pub fn layer(&self) -> Layer<'_> {
        layer!(self)
    }
}

document! {
    /// Which requests a route takes: one of `path`, `prefix`, `regex` and `grpc`, and all of the rest.
    "a match" struct MatchDoc {
        /// The whole path.
        path: Option<At<UrlPath>>,
        /// Whole segments at the start: `/api` takes `/api` and `/api/x`, not `/apix`.
        prefix: Option<At<UrlPath>>,
        /// A regular expression for the whole path.
        regex: Option<At<Pattern>>,
        /// Calls of gRPC, by service and method.
        grpc: Option<At<GrpcMatchDoc>>,
        /// Methods. Absent: all; with `grpc` it is `POST`.
        methods: Vec<At<Method>>,
        /// Hosts; `*.shop.example` takes one or more labels. Absent: all.
        hosts: Vec<At<Host>>,
        /// Headers by name: a value, or `{ regex: … }`.
        headers: Named<Short<At<String>, ValueRegexDoc>>,
        /// Query parameters by name: a value, or `{ regex: … }`.
        query: Named<Short<At<String>, ValueRegexDoc>>,
    }
}

document! {
    /// Calls of gRPC, as the Gateway API's GRPCRoute names them: a service, a method, or both.
    "a gRPC match" struct GrpcMatchDoc {
        /// The full name of the service: `shop.carriers.v1.Carriers`, or `{ regex: … }`. Absent: every service that has the method.
        service: Option<Short<At<ProtoName>, ValueRegexDoc>>,
        /// The method: `Book`, or `{ regex: … }`. Absent: all of the service.
        method: Option<Short<At<ProtoWord>, ValueRegexDoc>>,
    }
}

document! {
    /// A value by regular expression.
    "a value match" struct ValueRegexDoc {
        /// A regular expression for the whole value.
        regex: At<Pattern>,
    }
}

document! {
    /// Who may use a route.
    "auth" struct AuthDoc {
        /// An issuer of ondol.yaml.
        issuer: At<String>,
        /// A scope that the token must carry.
        scope: Option<At<String>>,
        /// A role that the token must carry.
        role: Option<At<String>>,
        /// Whether the service gets the token too.
        forward: At<bool> = "false",
    }
}

document! {
    /// Where a client is sent; what is absent stays as it asked.
    "a redirect" struct RedirectDoc {
        /// `http` or `https`.
        scheme: Option<At<Scheme>>,
        /// The host, without a port.
        host: Option<At<Host>>,
        /// The port. Absent: the usual one of `scheme` if that is given, else the one that the client asked.
        port: Option<At<u16>>,
        /// The whole path.
        path: Option<At<UrlPath>>,
        /// What stands in place of the prefix that the route matched.
        prefix: Option<At<UrlPath>>,
        /// 301, 302, 303, 307 or 308.
        status: At<RedirectStatus> = "302",
    }
}

document! {
    /// Another host or path for the service; the query stays.
    "a rewrite" struct RewriteDoc {
        /// The host, without a port.
        host: Option<At<Host>>,
        /// The whole path.
        path: Option<At<UrlPath>>,
        /// What stands in place of the prefix that the route matched.
        prefix: Option<At<UrlPath>>,
    }
}

document! {
    /// Changes to header fields: first `remove`, then `set`, then `add`.
    "changes to headers" struct FieldChangesDoc {
        /// Names.
        remove: Vec<At<FieldName>>,
        /// By name: replaces every field of it.
        set: Named<At<FieldValue>>,
        /// By name: beside those that are there.
        add: Named<At<FieldValue>>,
    }
}

document! {
    /// A saga's start by a route.
    "start" struct StartDoc {
        /// Which saga.
        saga: At<SagaName>,
        /// How long the answer may wait for its end.
        wait: At<Millis> = "5s",
        /// Whether `Idempotency-Key` must be there.
        key: At<Need> = "required",
    }
}
