//! An edge's half of the line, and what both halves plan: deadlines, tries, whether it lasts.

use super::{Going, Seen};
use crate::answer::is_grpc;
use crate::attempt::Plan;
use crate::cluster::Wish;
use crate::filter::{affinity, priority};
use crate::grpc_web::Dialect;
use crate::message::RequestHead;
use crate::tables::{Edge, Target};
use ondol_core::id::ServiceName;
use ondol_core::unit::parse_duration;
use ondol_core::wire::proxy::Policy;
use ondol_resilience::deadline::{self, Deadline};
use std::time::Duration;

/// What a call with `wait` may take beyond it.
const WAIT_GRACE: Duration = Duration::from_secs(5);
/// The longest `wait` that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The longest wait of a pull; it stands in the request's body, which is not read here.
const PULL_WAIT: Duration = Duration::from_secs(30);

/// An edge's half: caller and target are known, what the caller says of its user goes on.
pub(super) fn edge_half<'t>(edge: &'t Edge, head: &mut RequestHead, websocket: bool, seen: &Seen) -> Going<'t> {
    head.fields.set("ondol-caller", &*edge.caller);
    seen.trace.write(&mut head.fields);
    let policy = &edge.spec.policy;
    let announced = announced(head);
    let mut plan = plan(policy, &edge.target, head, websocket, (seen.began, announced));
    plan.hurried = edge.spec.peer.is_some() && hurries(policy, announced);
    if edge.spec.caller == ServiceName::ondol() {
        plan.extra = 0; // Sagas and pushes try again on their own.
        // How long a step or a push may take, its manifest says; the edge's policy knows nothing of it. Of another system it can only
        // shorten.
        let own = announced.filter(|_| edge.spec.peer.is_none());
        let own = own.map(|span| Deadline::new(seen.began, span, None));
        plan.deadline = own.or(plan.deadline);
    }
    // The caller knows what the work is for; the policy speaks for those who say nothing.
    plan.priority = priority::read(&head.fields).unwrap_or(plan.priority);
    priority::write(plan.priority, &mut head.fields);
    plan.wish.by = affinity::by(&policy.balance, head, None);
    Going {
        plan,
        target: &edge.target,
        policy,
        others: &edge.others,
    }
}

/// What is decided by a policy. The last pair is when the request came and what its caller has left.
pub(super) fn plan(
    policy: &Policy,
    target: &Target,
    head: &RequestHead,
    websocket: bool,
    (began, announced): (Duration, Option<Duration>),
) -> Plan {
    let asked = matches!(target, Target::Controller).then(|| Asked::of(head));
    let wait = asked.as_ref().and_then(|asked| asked.wait);
    let span = match wait {
        Some(wait) => wait.saturating_add(WAIT_GRACE),
        None => Duration::from_millis(policy.timeout_ms),
    };
    let follows = asked.is_some_and(|asked| asked.follows);
    let stream = follows || ((policy.stream || websocket) && wait.is_none());
    let deadline = (!stream).then(|| Deadline::new(began, span, announced));
    let extra = if wait.is_some() || websocket { 0 } else { policy.retries };
    let lasts = stream || wait.is_some();
    Plan {
        deadline,
        extra,
        waits: lasts,
        hurried: false,
        lasts,
        websocket,
        wish: Wish::default(),
        priority: priority::of(policy),
        hedge_share: policy.hedge_share,
    }
}

/// See [`Plan::hurried`].
pub(super) fn hurries(policy: &Policy, announced: Option<Duration>) -> bool {
    announced.is_some_and(|left| left < Duration::from_millis(policy.timeout_ms) / 2)
}

/// What is left of the caller's own deadline.
fn announced(head: &RequestHead) -> Option<Duration> {
    let own = head
        .fields
        .get_str("ondol-deadline-ms")
        .and_then(deadline::parse_millis);
    own.into_iter().chain(grpc_timeout(head)).min()
}

/// What is left of the deadline of a client of gRPC or gRPC-Web.
pub(super) fn grpc_timeout(head: &RequestHead) -> Option<Duration> {
    let timeout = head.fields.get_str("grpc-timeout")?;
    let is_call = is_grpc(head) || Dialect::of(head).is_some();
    deadline::parse_grpc(timeout).filter(|_| is_call)
}

/// What a request wants of the controller that lasts.
struct Asked {
    /// Server-sent events, without an end.
    follows: bool,
    /// An answer that may come so late.
    wait: Option<Duration>,
}

impl Asked {
    fn of(head: &RequestHead) -> Self {
        let accepts = head
            .fields
            .all("accept")
            .filter_map(|value| std::str::from_utf8(value).ok());
        let mut kinds = accepts
            .flat_map(|value| value.split(','))
            .map(|part| part.split(';').next().unwrap_or_default().trim());
        let events = kinds.any(|kind| kind.eq_ignore_ascii_case("text/event-stream"));
        let path = head.path().strip_prefix("/v1/subscriptions/").unwrap_or_default();
        let pull = path.ends_with("/pull").then_some(PULL_WAIT);
        Self {
            follows: events || path.ends_with("/stream"),
            wait: wait_of(head).or(pull),
        }
    }
}

/// The query parameter `wait`: `5s`, `500ms`, or whole seconds.
fn wait_of(head: &RequestHead) -> Option<Duration> {
    let value = head.query()?.split('&').find_map(|pair| pair.strip_prefix("wait="))?;
    let span = value
        .parse()
        .map(Duration::from_secs)
        .ok()
        .or_else(|| parse_duration(value).ok())?;
    Some(span.min(LONGEST_WAIT))
}
