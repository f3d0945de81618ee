//! One request, as a straight line: who it is for, whether it may, where it goes, what comes back, one record.
//!
//! The gateway's line and an edge's line differ in their first half only: the gateway trusts nobody and finds a route,
//! an edge knows caller and target by its socket, or by certificates where the caller is of another system (`proxy/peer.rs`). From the plan on they are the same. The halves are `proxy/gateway.rs` and
//! `proxy/plan.rs`, what they have in common `proxy/going.rs`; where answers are kept or something
//! stands in for errors, `proxy/fallback.rs` and `proxy/cached.rs` stand before it.
//!
//! Not here: bytes (`h1`, `h2`), which instance and how often (`attempt`), what is legal (`check`).

mod cached;
mod fallback;
mod gateway;
mod going;
mod peer;
mod plan;

use crate::answer::{Answer, Word};
use crate::attempt::{Lost, Plan, Tried};
use crate::check::HeadError;
use crate::cluster::{Endpoint, Permit};
use crate::exchange::{End, Reply, Request, Response, Sent, Service};
use crate::filter::session::{self, Token};
use crate::filter::trace::Trace;
use crate::filter::{Denied, change, cors, identity};
use crate::message::{Body, BodyError, Fields, RequestHead, ResponseHead, Version};
use crate::refusal;
use crate::report::access::Entry;
use crate::report::{Line, Served};
use crate::state::Worker;
use crate::tables::{Edge, Entrance, Others, Tables, Target};
use crate::tls::handshake::Session;
use http::Method;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{Action, CacheResult, Policy};
use ondol_core::wire::supervision::SocketName;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How a request is recorded whose client went away before its answer, as nginx does.
const CLIENT_GONE: u16 = 499;

/// Serves the requests of connections to one socket.
pub struct Front<'w> {
    /// The thread's share.
    pub worker: &'w Worker,
    /// The socket's name.
    pub socket: &'w SocketName,
    /// What was agreed over TLS; `None`: HTTP in the clear.
    pub tls: Option<Session>,
    /// The address at the other end; `None` over a Unix socket.
    pub peer: Option<IpAddr>,
}

/// What is known of a request once it may go.
struct Going<'t> {
    plan: Plan,
    target: &'t Target,
    policy: &'t Policy,
    others: &'t Others,
}

/// Why a request does not go.
enum Stop {
    Refused(Answer),
    /// By a filter: a redirect, a preflight.
    Answered(ResponseHead),
}

impl From<Answer> for Stop {
    fn from(answer: Answer) -> Self {
        Self::Refused(answer)
    }
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        Self::Refused(denied.into())
    }
}

impl From<Stop> for Tried<'_> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(answer) => Self::refused(answer),
            Stop::Answered(head) => Self::answered(Response {
                head,
                body: Body::Empty,
                tunnel: None,
            }),
        }
    }
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
    /// The version of TLS.
    tls: Option<&'static str>,
    /// The position of its route, once that is found.
    route: Option<usize>,
    /// The position of its backend among the route's own, once that is chosen.
    backend: Option<usize>,
    /// What the answer says of the origin of the page that asks.
    origin: Option<String>,
    /// The session that it belongs to.
    session: Option<Token>,
    /// See [`Served::waited`].
    waited: bool,
    /// See [`Tried::kept`].
    kept: Option<CacheResult>,
}

impl Service for Front<'_> {
    async fn serve<R: Reply>(&self, request: Request<'_>, reply: &mut R) {
        let Some(tables) = self.worker.shared().tables.load_full() else {
            reply.send(refusal::not_ready().into_response(request.head)).await;
            return;
        };
        let Request { head, body, websocket } = request;
        let entrance = tables.entrance(self.socket);
        let edge = self.edge(&tables, entrance).map(|index| (index, &tables.edges[index]));
        let mut seen = self.seen(&tables, head);
        let going = match (entrance, edge) {
            (_, Some((index, edge))) => {
                seen.line = tables.lines.edges[index].clone();
                if edge.spec.peer.is_some() {
                    peer::forget(head, &edge.spec.caller, self.tls.as_ref());
                }
                Ok(plan::edge_half(edge, head, websocket, &seen))
            }
            (Some(Entrance::Mesh), None) => Err(refusal::not_a_caller(self.tls.as_ref()).into()),
            (Some(_), None) => self.gateway_half(&tables, head, websocket, &mut seen).await,
            (None, None) => Err(refusal::no_such_socket().into()),
        };
        seen.waited = going.as_ref().is_ok_and(|going| going.plan.lasts);
        let changes = match &going {
            Ok(going) if !head.method.is_safe() => Some(going.target),
            _ => None,
        };
        let tried = match going {
            Err(stop) => stop.into(),
            // Boxed: it is large, and most requests have nothing to do with it. Its reply is another type, so that what is
            // compiled of `go` for it is too, and leaves the one below as it would be without.
            Ok(going) if fallback::concerns(&tables, &going) => {
                Box::pin(self.go_guarded(&tables, &going, head, body, &seen.line, &mut &mut *reply)).await
            }
            Ok(going) => self.go(&tables, &going, head, body, &seen.line, reply).await,
        };
        if let Some(target) = changes {
            self.hear(target, head, &seen.line, &tried);
        }
        let (made, endpoint) = (tried.made, tried.endpoint.clone());
        seen.kept = tried.kept;
        let answered_by = endpoint.clone().filter(|_| tried.result.is_ok());
        let Some((mut response, permit, own)) = self.finish(tried, edge.map(|(_, edge)| edge), (head, websocket))
        else {
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
        if let Some(route) = seen.route {
            self.filter_answer(
                &tables,
                route,
                &seen,
                head,
                answered_by.as_deref(),
                &mut response.head.fields,
            );
        }
        let status = response.head.status.as_u16();
        let sent = reply.send(response).await;
        drop(permit); // Its instance has done its part.
        self.record(seen, (status, own), made, endpoint, sent);
    }

    fn refuse(&self, error: HeadError) -> Response<'static> {
        let answer = Answer::new(error.status(), error.code(), Word::HttpRequestError, error.to_string());
        let line = self.worker.shared().tables.load().as_ref().map(|tables| {
            let edge = self.edge(tables, tables.entrance(self.socket));
            edge.map_or(&tables.lines.unmatched, |index| &tables.lines.edges[index])
                .clone()
        });
        if let Some(line) = &line {
            let (status, own) = (answer.status.as_u16(), Some(answer.word));
            line.count(&Served {
                status,
                took: Duration::ZERO,
                attempts: 0,
                waited: false,
                own,
            });
        }
        let (shared, entropy) = (self.worker.shared(), self.worker.entropy());
        let trace = u128::from(entropy.next_u64()) << 64 | u128::from(entropy.next_u64());
        let tls = self.tls.as_ref().map(|session| session.version);
        let at = (shared.clock.wall(), shared.clock.mono());
        shared.log.push_refused(at, trace, line, (self.peer, tls), error);
        answer.into_bare_response()
    }
}

impl Front<'_> {
    /// The position of the edge by which this connection came: by its socket, or by certificates.
    fn edge(&self, tables: &Tables, entrance: Option<Entrance>) -> Option<usize> {
        match entrance {
            Some(Entrance::Edge(index)) => Some(index),
            Some(Entrance::Mesh) => self.visits(tables),
            Some(Entrance::Gateway) | None => None,
        }
    }

    fn seen(&self, tables: &Tables, head: &RequestHead) -> Seen {
        Seen {
            began: self.worker.shared().clock.mono(),
            trace: Trace::of(&head.fields, self.worker.entropy()),
            line: tables.lines.unmatched.clone(),
            client: self.peer,
            version: head.version,
            method: head.method.clone(),
            host: head.authority().into(),
            path: head.path().into(),
            tls: self.tls.as_ref().map(|session| session.version),
            route: None,
            backend: None,
            origin: None,
            session: None,
            waited: false,
            kept: None,
        }
    }

    /// What a route's filters write into an answer, whoever made it.
    fn filter_answer(
        &self,
        tables: &Tables,
        route: usize,
        seen: &Seen,
        head: &RequestHead,
        endpoint: Option<&Endpoint>,
        fields: &mut Fields,
    ) {
        let spec = &tables.routes.routes()[route].spec;
        // No session begins with an instance of a service that only stood in.
        let of_route = endpoint.filter(|endpoint| tables.rules[route].backend_of(endpoint.sticky).is_some());
        if let (Some(session), Some(endpoint)) = (&spec.session, of_route) {
            let secure = head.fields.get_str("x-forwarded-proto") == Some("https");
            let now = self.worker.shared().clock.wall();
            session::write(session, seen.session, endpoint.sticky, secure, now, fields);
        }
        if let Some(cors) = spec.cors.as_ref().filter(|_| cors::preflight(head).is_none()) {
            cors::write(cors, seen.origin.as_deref(), fields);
        }
        if let (Action::Forward(backends), Some(index)) = (&spec.action, seen.backend) {
            change::fields(&backends[index].response_fields, fields);
        }
        change::fields(&spec.response_fields, fields);
    }

    /// The answer as this listener gives it, the permit that goes with it, and our own word if it is ours; `None`:
    /// there is nobody to answer.
    fn finish<'b>(
        &self,
        tried: Tried<'b>,
        edge: Option<&Edge>,
        (head, websocket): (&RequestHead, bool),
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
                // Whoever asks for a WebSocket is told by status: gRPC's 200 would open one over HTTP/2.
                let response = match websocket {
                    true => answer.into_bare_response(),
                    false => answer.into_response(head),
                };
                (response, None, Some(word))
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
            tls: seen.tls,
            served,
            kept: seen.kept,
            bytes: sent.bytes,
            cut,
        });
    }
}
