//! One request, as a straight line: who it is for, whether it may, where it goes, what comes back, one record.
//!
//! The gateway's line and an edge's line differ in their first half only: the gateway trusts nobody and finds a route,
//! an edge knows caller and target by its socket. From the plan on they are the same.
//!
//! Not here: bytes (`h1`, `h2`), which instance and how often (`attempt`), what is legal (`check`).

use crate::answer::{Answer, Word, is_grpc};
use crate::attempt::{self, Lost, Plan, Tried};
use crate::check::HeadError;
use crate::cluster::{Endpoint, Permit};
use crate::exchange::{End, Reply, Request, Response, Sent, Service};
use crate::filter::identity;
use crate::filter::limit::Who;
use crate::filter::trace::Trace;
use crate::limits::{self, Activity, Span};
use crate::message::{BodyError, RequestHead, Version};
use crate::refusal;
use crate::report::access::Entry;
use crate::report::{Line, Served};
use crate::state::Worker;
use crate::tables::{Door, Edge, Entrance, Tables, Target};
use http::Method;
use ondol_core::id::ServiceName;
use ondol_core::unit::parse_duration;
use ondol_core::wire::proxy::{Action, Policy};
use ondol_core::wire::supervision::SocketName;
use ondol_resilience::deadline::{self, Deadline};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// What a start may take beyond its wait: the controller's ten seconds for `visible_after`, and two for the way.
const START_GRACE: Duration = Duration::from_secs(12);
/// What a call with `wait` may take beyond it.
const WAIT_GRACE: Duration = Duration::from_secs(5);
/// The longest `wait` that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The longest wait of a pull; it stands in the request's body, which is not read here.
const PULL_WAIT: Duration = Duration::from_secs(30);

/// How a request is recorded whose client went away before its answer, as nginx does.
const CLIENT_GONE: u16 = 499;

/// Serves the requests of connections to one socket.
pub struct Front<'w> {
    /// The thread's share.
    pub worker: &'w Worker,
    /// The socket's name.
    pub socket: &'w SocketName,
}

/// What is known of a request once it may go.
struct Going<'t> {
    plan: Plan,
    target: &'t Target,
    policy: &'t Policy,
}

/// What the record of a request says, gathered along the line.
struct Seen {
    began: Duration,
    trace: Trace,
    line: Arc<Line>,
    client: Option<IpAddr>,
    version: Version,
    method: Method,
    host: Box<str>,
    path: Box<str>,
    /// See [`Served::waited`].
    waited: bool,
}

impl Service for Front<'_> {
    async fn serve<R: Reply>(&self, request: Request<'_>, reply: &mut R) {
        let Some(tables) = self.worker.shared().tables.load_full() else {
            reply.send(refusal::not_ready().into_response(request.head)).await;
            return;
        };
        let Request {
            head,
            body,
            websocket,
            peer,
        } = request;
        let entrance = tables.entrance(self.socket);
        let edge = match entrance {
            Some(Entrance::Edge(index)) => Some((index, &tables.edges[index])),
            _ => None,
        };
        let mut seen = self.seen(&tables, head, peer);
        let going = match (entrance, edge) {
            (_, Some((index, edge))) => {
                seen.line = tables.lines.edges[index].clone();
                self.edge_half(edge, head, websocket, &seen.trace)
            }
            (Some(_), None) => self.gateway_half(&tables, head, websocket, &mut seen).await,
            (None, None) => Err(refusal::no_such_socket()),
        };
        seen.waited = going.as_ref().is_ok_and(|going| going.plan.lasts);
        let activity = Activity::default();
        let capped = going.and_then(|going| match limits::cap(body, going.policy.body_limit, &activity) {
            Ok(body) => Ok((going, body)),
            Err(error) => {
                Err(refusal::request_body(&error).unwrap_or_else(|| refusal::internal("a body without a length")))
            }
        });
        let tried = match capped {
            Err(answer) => Tried::refused(answer),
            Ok((going, body)) => {
                let tried = self.attempts(&tables, &going, head, body, &activity, reply).await;
                self.bounded(tried, &going.plan, &activity)
            }
        };
        let (made, endpoint) = (tried.made, tried.endpoint.clone());
        let Some((response, permit, own)) = self.finish(tried, edge.map(|(_, edge)| edge), head) else {
            return self.record(
                seen,
                (CLIENT_GONE, None),
                made,
                endpoint,
                Sent {
                    bytes: 0,
                    end: End::ClientGone,
                },
            );
        };
        let status = response.head.status.as_u16();
        let sent = reply.send(response).await;
        drop(permit); // Its instance has done its part.
        self.record(seen, (status, own), made, endpoint, sent);
    }

    fn refuse(&self, error: HeadError) -> Response<'static> {
        let answer = Answer::new(error.status(), error.code(), Word::HttpRequestError, error.to_string());
        if let Some(tables) = &*self.worker.shared().tables.load() {
            let (status, own) = (answer.status.as_u16(), Some(answer.word));
            tables.lines.unmatched.count(&Served {
                status,
                took: Duration::ZERO,
                attempts: 0,
                waited: false,
                own,
            });
        }
        answer.into_bare_response()
    }
}

impl Front<'_> {
    fn seen(&self, tables: &Tables, head: &RequestHead, peer: Option<IpAddr>) -> Seen {
        Seen {
            began: self.worker.shared().clock.mono(),
            trace: Trace::of(&head.fields, self.worker.entropy()),
            line: tables.lines.unmatched.clone(),
            client: peer,
            version: head.version,
            method: head.method.clone(),
            host: head.authority().into(),
            path: head.path().into(),
            waited: false,
        }
    }

    /// The answer as this listener gives it, the permit that goes with it, and our own word if it is ours; `None`:
    /// there is nobody to answer.
    fn finish<'b>(
        &self,
        tried: Tried<'b>,
        edge: Option<&Edge>,
        head: &RequestHead,
    ) -> Option<(Response<'b>, Option<Permit>, Option<Word>)> {
        let (mut response, permit, own) = match tried.result {
            Ok(answered) => {
                let mut response = answered.response;
                if edge.is_some_and(|edge| edge.spec.caller == ServiceName::ondol()) {
                    response.head.fields.remove("proxy-status"); // Only our own word may stand there.
                }
                (response, answered.permit, None)
            }
            Err(Lost::Own(answer)) => {
                let word = answer.word;
                (answer.into_response(head), None, Some(word))
            }
            Err(Lost::Gone) => return None,
        };
        let fields = &mut response.head.fields;
        match edge {
            Some(_) if tried.made > 1 => fields.set("ondol-retried", (tried.made - 1).to_string()),
            Some(_) => {}
            None => {
                identity::strip(fields);
                fields.set("x-request-id", head.fields.get("x-request-id").unwrap_or_default());
            }
        }
        Some((response, permit, own))
    }

    /// Counts the request and logs it.
    fn record(
        &self,
        seen: Seen,
        (status, own): (u16, Option<Word>),
        attempts: u32,
        instance: Option<Arc<Endpoint>>,
        sent: Sent,
    ) {
        let shared = self.worker.shared();
        let took = shared.clock.mono().saturating_sub(seen.began);
        let served = Served {
            status,
            took,
            attempts,
            waited: seen.waited,
            own,
        };
        seen.line.count(&served);
        let cut = match sent.end {
            End::Complete => None,
            End::ClientGone => Some("the client went away"),
            End::Broken(BodyError::TimedOut) => Some("the answer did not end in time"),
            End::Broken(_) => Some("the answer broke off"),
        };
        shared.log.push(Entry {
            at: shared.clock.wall(),
            trace: seen.trace,
            line: seen.line,
            instance,
            client: seen.client,
            version: seen.version,
            method: seen.method,
            host: seen.host,
            path: seen.path,
            served,
            bytes: sent.bytes,
            cut,
        });
    }

    /// The gateway's half: nobody is believed before a route's filters have passed.
    async fn gateway_half<'t>(
        &self,
        tables: &'t Tables,
        head: &mut RequestHead,
        websocket: bool,
        seen: &mut Seen,
    ) -> Result<Going<'t>, Answer> {
        let peer = seen.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let client = tables.trusted.resolve(head, peer);
        seen.client = Some(client);
        identity::strip(&mut head.fields);
        seen.trace.write(&mut head.fields);
        let route = tables.routes.find(head).ok_or_else(|| refusal::no_route(head))?;
        seen.line = tables.lines.routes[route.index].clone();
        let identity = match &tables.guards[route.index] {
            Door::Open => None,
            Door::Guarded(guard) => Some(guard.admit(head).await?),
            Door::Shut => return Err(refusal::no_issuer(route)),
        };
        if let Some(limiter) = &tables.limiters[route.index] {
            let subject = identity.as_ref().map(|identity| identity.subject.as_str());
            limiter.check(
                Who {
                    subject,
                    address: client,
                    fields: &head.fields,
                },
                self.worker.shared().clock.mono(),
            )?;
        }
        let (policy, target) = (&route.spec.policy, &tables.targets[route.index]);
        let plan = match &route.spec.action {
            Action::Forward(_) => self.plan(policy, target, head, websocket, None),
            Action::Start {
                wait_ms, key_required, ..
            } => {
                if *key_required && !head.fields.contains("idempotency-key") {
                    return Err(refusal::no_key());
                }
                let name = format!("/v1/starts/{}", route.spec.name);
                head.method = Method::POST;
                head.set_target(name.as_bytes())
                    .map_err(|error| refusal::internal(&error.to_string()))?;
                let span = Duration::from_millis(*wait_ms).saturating_add(START_GRACE);
                let deadline = Some(Deadline::new(self.worker.shared().clock.mono(), span, None));
                Plan {
                    deadline,
                    extra: 0,
                    waits: true,
                    lasts: false,
                    websocket: false,
                }
            }
        };
        Ok(Going { plan, target, policy })
    }

    /// An edge's half: caller and target are known, what the caller says of its user goes on.
    fn edge_half<'t>(
        &self,
        edge: &'t Edge,
        head: &mut RequestHead,
        websocket: bool,
        trace: &Trace,
    ) -> Result<Going<'t>, Answer> {
        head.fields.set("ondol-caller", edge.spec.caller.as_str());
        trace.write(&mut head.fields);
        let policy = &edge.spec.policy;
        let announced = announced(head);
        let mut plan = self.plan(policy, &edge.target, head, websocket, announced);
        if edge.spec.caller == ServiceName::ondol() {
            plan.extra = 0; // Sagas and pushes try again on their own.
            // How long a step or a push may take, its manifest says; the edge's policy knows nothing of it.
            let now = self.worker.shared().clock.mono();
            plan.deadline = announced.map(|span| Deadline::new(now, span, None)).or(plan.deadline);
        }
        Ok(Going {
            plan,
            target: &edge.target,
            policy,
        })
    }

    fn plan(
        &self,
        policy: &Policy,
        target: &Target,
        head: &RequestHead,
        websocket: bool,
        announced: Option<Duration>,
    ) -> Plan {
        let now = self.worker.shared().clock.mono();
        let asked = matches!(target, Target::Controller).then(|| Asked::of(head));
        let wait = asked.as_ref().and_then(|asked| asked.wait);
        let span = match wait {
            Some(wait) => wait.saturating_add(WAIT_GRACE),
            None => Duration::from_millis(policy.timeout_ms),
        };
        let follows = asked.is_some_and(|asked| asked.follows);
        let stream = follows || ((policy.stream || websocket) && wait.is_none());
        let deadline = (!stream).then(|| Deadline::new(now, span, announced));
        let extra = if wait.is_some() || websocket { 0 } else { policy.retries };
        let lasts = stream || wait.is_some();
        Plan {
            deadline,
            extra,
            waits: lasts,
            lasts,
            websocket,
        }
    }

    async fn attempts<'b, R: Reply>(
        &self,
        tables: &Tables,
        going: &Going<'_>,
        head: &mut RequestHead,
        body: crate::message::Body<'b>,
        activity: &Activity,
        reply: &mut R,
    ) -> Tried<'b> {
        let (means, plan) = (self.worker.means(), &going.plan);
        match going.target {
            Target::Service(way) => attempt::to_service(&means, way, plan, head, body, activity, reply).await,
            Target::Controller => {
                attempt::to_controller(&means, &tables.controller, plan, head, body, activity, reply).await
            }
            Target::Nowhere => Tried::refused(refusal::nowhere()),
        }
    }

    /// Bounds the answer's body in time.
    fn bounded<'b>(&self, mut tried: Tried<'b>, plan: &Plan, activity: &Activity) -> Tried<'b> {
        if let Ok(answered) = &mut tried.result {
            let span = plan
                .deadline
                .map_or(Span::Idle(attempt::IDLE), |deadline| Span::Until(deadline.0));
            let body = std::mem::take(&mut answered.response.body);
            answered.response.body = limits::within(body, span, &self.worker.shared().clock, activity);
        }
        tried
    }
}

/// What is left of the caller's own deadline.
fn announced(head: &RequestHead) -> Option<Duration> {
    let own = head
        .fields
        .get_str("ondol-deadline-ms")
        .and_then(deadline::parse_millis);
    let grpc = head
        .fields
        .get_str("grpc-timeout")
        .filter(|_| is_grpc(head))
        .and_then(deadline::parse_grpc);
    own.into_iter().chain(grpc).min()
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
