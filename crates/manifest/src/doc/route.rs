//! Gateway routes: which requests, by whom, how.

use super::policy::{BreakerDoc, Layer, LimitDoc, layer};
use crate::document::document;
use crate::read::Named;
use crate::source::At;
use crate::value::{Bytes, Host, Method, Millis, Need, Pattern, Short, UrlPath};
use ondol_core::id::RouteName;
use ondol_core::id::SagaName;

document! {
    /// A gateway route; paths are passed on unchanged.
    "a route" struct RouteDoc {
        /// Unique in the system. Made as `SERVICE-N` from its place in the list; must be written with `start`, since keys are scoped by it.
        name: Option<At<RouteName>>,
        /// Which requests it takes.
        r#match: At<MatchDoc>,
        /// Who may use it. Absent: everybody.
        auth: Option<AuthDoc>,
        /// Start a saga instead of passing the request on.
        start: Option<StartDoc>,
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
    }
}

impl RouteDoc {
    /// Its own level of policies.
    pub fn layer(&self) -> Layer<'_> {
        layer!(self)
    }
}

document! {
    /// Which requests a route takes: one of `path`, `prefix`, `regex`, and all of the rest.
    "a match" struct MatchDoc {
        /// The whole path.
        path: Option<At<UrlPath>>,
        /// Whole segments at the start: `/api` takes `/api` and `/api/x`, not `/apix`.
        prefix: Option<At<UrlPath>>,
        /// A regular expression for the whole path.
        regex: Option<At<Pattern>>,
        /// Methods. Absent: all.
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
