//! Policies: the same keys at the system, at a service and at a route.

use crate::document::document;
use crate::source::At;
use crate::value::{Bytes, CookieName, FieldValue, Millis, Nothing, PerSecond, Share, Short, Status};
use crate::value_balance::{Algorithm, Hashed, HeaderName};
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{LimitBy, Priority};
use schemars::{Schema, SchemaGenerator, json_schema};

document! {
    /// Policies of routes and edges; what is nearer to the route wins, key by key.
    "a policy" struct PolicyDoc {
        /// Deadline of the whole request. Built in: `15s`.
        timeout: Option<At<Millis>>,
        /// For SSE, WebSocket and gRPC streams: no deadline, but an idle limit of 60 s. Built in: `false`.
        stream: Option<At<bool>>,
        /// Extra attempts, of safe or keyed requests only. Built in: `2`.
        retries: Option<At<u32>>,
        /// A token bucket for a route. Built in: no limit.
        limit: Option<LimitDoc>,
        /// When calls to a service stop for a while.
        breaker: Option<BreakerDoc>,
        /// The largest request body. Built in: `10MiB`.
        body_limit: Option<At<Bytes>>,
        /// Which are shed last when there are too many: `critical`, `default`, `batch`, `best-effort`. Built in: `default`.
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

document! {
    /// A token bucket.
    "a limit" struct LimitDoc {
        /// How fast it fills. Without it at any level there is no limit.
        rate: Option<At<PerSecond>>,
        /// How much it holds. Built in: one second of the rate, at least 1.
        burst: Option<At<u32>>,
        /// Whose requests share a bucket: `subject`, `ip` or `header NAME`. Built in: `subject`, and the address where there is none.
        by: Option<At<LimitBy>>,
    }
}

document! {
    /// Hedging: a safe request that is slower than 95 % of them goes to another instance too, and the first good answer counts.
    "a hedge" struct HedgeDoc {
        /// The largest share of requests that may be sent twice, at most `20 %`; `0 %` is none.
        share: At<Share> = "5 %",
    }
}

document! {
    /// How answers are kept: what the answers themselves say goes before it.
    "a cache" struct CacheDoc {
        /// For how long after its freshness a kept answer may stand in for an error. Built in: `1m`.
        stale_if_error: Option<At<Millis>>,
        /// For how long after its freshness a kept answer may be given while another is fetched. Built in: `0s`.
        stale_while_revalidate: Option<At<Millis>>,
        /// Whether all consumers share answers; then of those who bring a token only answers are kept that say `public` or `s-maxage`. Built in: `false`.
        shared: Option<At<bool>>,
    }
}

document! {
    /// What stands in for an error: the answer of a `service`, or one that is always the same.
    "a fallback" struct FallbackDoc {
        /// Gets the request when the error is there, in what is left of its time.
        service: Option<At<ServiceName>>,
        /// Of the answer. Built in: `200`.
        status: Option<At<Status>>,
        /// Its media type. Built in: `application/json`.
        content_type: Option<At<FieldValue>>,
        /// Its body, at most 16 KiB. Absent: none.
        body: Option<At<String>>,
    }
}

document! {
    /// How an instance is chosen, with what is hashed.
    "a balance" struct BalanceDoc {
        /// `ring-hash` and `maglev` send requests of the same key to the same instance; the others take no `hash`.
        algorithm: At<Algorithm>,
        /// What the key is: `source_ip`, `path`, or a map. A request that has none goes by `peak-ewma`.
        hash: Option<Short<At<Hashed>, HashDoc>>,
    }
}

document! {
    /// Whose value is the key: one of these.
    "a hash" struct HashDoc {
        /// A header of the request.
        header: Option<At<HeaderName>>,
        /// A cookie.
        cookie: Option<At<CookieName>>,
        /// A parameter of the query.
        query: Option<At<String>>,
    }
}

document! {
    /// A circuit breaker over a window of 10 s.
    "a breaker" struct BreakerDoc {
        /// The share of failed or slow calls that opens it. Built in: `50 %`.
        failures: Option<At<Share>>,
        /// Calls in the window before it may open. Built in: `20`.
        minimum: Option<At<u32>>,
        /// How long it stays open first; doubles up to 60 s. Built in: `5s`.
        open: Option<At<Millis>>,
    }
}

impl crate::read::Read for LimitBy {
    fn read(node: &crate::tree::Node, cx: &mut crate::read::Reader<'_>) -> Option<Self> {
        let text = cx.scalar(node)?;
        let name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        match &*text {
            "subject" => Some(Self::Subject),
            "ip" => Some(Self::Ip),
            other => match other.strip_prefix("header ").map(str::trim) {
                Some(header) if !header.is_empty() && header.chars().all(name) => {
                    Some(Self::Header(header.to_ascii_lowercase()))
                }
                _ => {
                    let message = format!("`{text}` is not subject, ip or header NAME");
                    cx.error(crate::diagnostic::Code::Value, node.at, message);
                    None
                }
            },
        }
    }
    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "`subject`, `ip`, `header NAME`", "type": "string", "pattern": "^(subject|ip|header [A-Za-z0-9-]+)$" })
    }
}

/// One level of policies, wherever it is written.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Deadline.
    pub timeout: Option<At<Millis>>,
    /// Stream.
    pub stream: Option<At<bool>>,
    /// Extra attempts.
    pub retries: Option<At<u32>>,
    /// Token bucket.
    pub limit: Option<&'a LimitDoc>,
    /// Breaker.
    pub breaker: Option<&'a BreakerDoc>,
    /// Largest body.
    pub body_limit: Option<At<Bytes>>,
    /// Class.
    pub priority: Option<At<Priority>>,
    /// Hedge.
    pub hedge: Option<&'a HedgeDoc>,
    /// Which instance.
    pub balance: Option<&'a Short<At<Algorithm>, BalanceDoc>>,
    /// Kept answers.
    pub cache: Option<&'a Short<At<bool>, CacheDoc>>,
    /// What stands in.
    pub fallback: Option<&'a Short<At<Nothing>, FallbackDoc>>,
}

/// Makes a [`Layer`] of a document that has the policy keys.
macro_rules! layer {
    ($doc:expr) => {
        $crate::doc::policy::Layer {
            timeout: $doc.timeout,
            stream: $doc.stream,
            retries: $doc.retries,
            limit: $doc.limit.as_ref(),
            breaker: $doc.breaker.as_ref(),
            body_limit: $doc.body_limit,
            priority: $doc.priority,
            hedge: $doc.hedge.as_ref(),
            balance: $doc.balance.as_ref(),
            cache: $doc.cache.as_ref(),
            fallback: $doc.fallback.as_ref(),
        }
    };
}
pub(crate) use layer;

impl PolicyDoc {
    /// As a level.
    pub fn layer(&self) -> Layer<'_> {
        layer!(self)
    }
}
