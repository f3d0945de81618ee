//! What the gateway would do with a request, without a network and without a service: `ondol test`, and the examples that
//! `ondol check` runs.
//!
//! It goes the line of `proxy/gateway.rs` with the same parser, table and filters, and tells each step instead of taking it.
//!
//! Not decided here, since it depends on more than the request: whether a token is good (one that is there is taken for good),
//! whether a limit is used up, which of several backends takes it, whether that speaks gRPC, and what the service answers.
//! Tests: `tests.rs`, and `conformance/gateway/routes.json`, whose answers must be the same here.

mod near;
mod steps;

pub use near::Near;
pub use steps::Step;

use crate::answer::Answer;
use crate::check::HeadError;
use crate::filter::client::{BadCidr, Trusted};
use crate::filter::{Denied, affinity, auth, change, cors, identity, priority};
use crate::h1::head::Search;
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::refusal;
use crate::route::{BadRoute, Route, Table};
use http::Method;
use ondol_core::error::ErrorCode;
use ondol_core::id::{RouteName, SagaName, ServiceName};
use ondol_core::wire::proxy as wire;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A request that nobody sends.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Such as `GET`.
    pub method: String,
    /// `http` or `https`: how the client came to the gateway.
    pub scheme: String,
    /// Host and port.
    pub authority: String,
    /// Path and query, as a client sends them.
    pub target: String,
    /// Header fields.
    pub fields: Vec<(String, String)>,
}

/// What becomes of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Decision {
    /// The canonical path that routes are matched with. `None`: the request cannot be read.
    pub path: Option<String>,
    /// The route that takes it, and whose it is.
    pub route: Option<(RouteName, ServiceName)>,
    /// What the route asks of a request; all of it holds.
    pub conditions: Vec<String>,
    /// Where no route takes it: those that nearly do.
    pub near: Vec<Near>,
    /// What the filters do, in order.
    pub steps: Vec<Step>,
    /// How it ends.
    pub end: End,
}

/// How it ends.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum End {
    /// The gateway answers itself.
    Answered {
        /// The status.
        status: u16,
        /// The page that explains a refusal.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<ErrorCode>,
        /// What is wrong with the request, for a refusal.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// Fields of the answer.
        headers: Vec<(String, String)>,
    },
    /// A service gets it.
    Forwarded {
        /// Who, by weight.
        backends: Vec<wire::Backend>,
        /// As the service gets it; where there are several, before each one's own changes.
        #[serde(flatten)]
        sent: Sent,
    },
    /// A saga starts.
    Started {
        /// Which.
        saga: SagaName,
        /// Milliseconds that the answer may wait for its end.
        wait_ms: u64,
    },
}

/// A request as a service gets it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// Fields, without what each try adds: `traceparent`, `ondol-deadline-ms`, `via`.
    pub headers: Vec<(String, String)>,
}

/// Why a system's gateway cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BadGateway {
    /// A route.
    #[error(transparent)]
    Route(#[from] BadRoute),
    /// A trusted proxy.
    #[error(transparent)]
    Trusted(#[from] BadCidr),
}

/// The gateway of a snapshot, for requests that nobody sends.
pub struct Gateway {
    table: Table,
    specs: Vec<Arc<wire::Route>>,
    trusted: Trusted,
    issuers: BTreeSet<String>,
}

impl Gateway {
    /// Of these routes, in the snapshot's order.
    ///
    /// # Errors
    /// What a proxy would refuse as well.
    pub fn new(routes: Vec<wire::Route>, trusted: &[String], issuers: BTreeSet<String>) -> Result<Self, BadGateway> {
        let specs: Vec<_> = routes.into_iter().map(Arc::new).collect();
        Ok(Self {
            table: Table::compile(&specs)?,
            specs,
            trusted: Trusted::parse(trusted)?,
            issuers,
        })
    }

    /// What becomes of a request. It comes from this machine, so what `X-Forwarded-*` says is believed only if that is trusted.
    pub fn decide(&self, asked: &Asked) -> Decision {
        let mut decision = Decision {
            path: None,
            route: None,
            conditions: Vec::new(),
            near: Vec::new(),
            steps: Vec::new(),
            end: answered(500, None, None, &Fields::new()),
        };
        decision.end = match read(asked) {
            Ok(mut head) => {
                let end = self.line(asked, &mut head, &mut decision).unwrap_or_else(|end| end);
                self.filter_answer(end, &head, &decision)
            }
            Err(end) => end,
        };
        decision
    }

    /// What the route's filters write into an answer, whoever made it.
    fn filter_answer(&self, end: End, head: &RequestHead, told: &Decision) -> End {
        let route = told.route.as_ref();
        let spec = route.and_then(|(name, _)| self.specs.iter().find(|spec| &spec.name == name));
        match (end, spec) {
            (
                End::Answered {
                    status,
                    code,
                    detail,
                    headers,
                },
                Some(spec),
            ) => {
                let mut fields: Fields = headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                if let Some(cors) = spec.cors.as_ref().filter(|_| cors::preflight(head).is_none()) {
                    cors::write(cors, cors::allowed(cors, &head.fields).as_deref(), &mut fields);
                }
                change::fields(&spec.response_fields, &mut fields);
                answered(status, code, detail, &fields)
            }
            (end, _) => end,
        }
    }

    fn line(&self, asked: &Asked, head: &mut RequestHead, told: &mut Decision) -> Result<End, End> {
        told.path = Some(head.path().to_owned());
        let client = self
            .trusted
            .resolve(head, IpAddr::V4(Ipv4Addr::LOCALHOST), &asked.scheme);
        told.steps.extend(steps::identity(head));
        identity::strip(&mut head.fields);
        let Some(route) = self.table.find(head) else {
            told.near = near::find(&self.specs, head);
            return Err(refused(refusal::no_route(head)));
        };
        let spec = &route.spec;
        told.route = Some((spec.name.clone(), spec.service.clone()));
        told.conditions = steps::conditions(&spec.matches);
        if let Some(cors) = &spec.cors {
            told.steps.push(steps::cors(cors, head));
            if cors::preflight(head).is_some() {
                return Err(of_head(&cors::answer(cors, head)));
            }
        }
        self.admit(route, head, told)?;
        told.steps
            .extend(steps::fields("request_headers", &spec.request_fields));
        change::fields(&spec.request_fields, &mut head.fields);
        let end = self.act(route, head, client, told)?;
        told.steps
            .extend(steps::fields("response_headers", &spec.response_fields));
        Ok(end)
    }

    fn admit(&self, route: &Route, head: &mut RequestHead, told: &mut Decision) -> Result<(), End> {
        if let Some(auth) = &route.spec.auth {
            if !self.issuers.contains(&auth.issuer) {
                return Err(refused(refusal::no_issuer(route)));
            }
            let brings = auth::bearer(auth, head).map(drop);
            told.steps.push(steps::auth(auth, brings.is_ok()));
            brings.map_err(denied)?;
            auth::withhold(auth, head);
        }
        told.steps.extend(route.spec.limit.as_ref().map(steps::limit));
        Ok(())
    }

    fn act(&self, route: &Route, head: &mut RequestHead, client: IpAddr, told: &mut Decision) -> Result<End, End> {
        let spec = &route.spec;
        let internal = |error: ondol_core::path::BadPath| refused(refusal::internal(&error.to_string()));
        match &spec.action {
            wire::Action::Redirect(to) => {
                let scheme = head.fields.get_str("x-forwarded-proto").unwrap_or("http");
                let answer = change::redirect(to, &spec.matches, head, scheme).map_err(internal)?;
                Ok(of_head(&answer))
            }
            wire::Action::Start {
                saga,
                wait_ms,
                key_required,
            } => {
                if *key_required && !head.fields.contains("idempotency-key") {
                    return Err(refused(refusal::no_key()));
                }
                Ok(End::Started {
                    saga: saga.clone(),
                    wait_ms: *wait_ms,
                })
            }
            wire::Action::Forward(backends) => {
                told.steps
                    .extend(spec.session.as_ref().map(|session| steps::session(session, head)));
                if backends.iter().all(|backend| backend.weight == 0) {
                    return Err(refused(refusal::no_weight(route)));
                }
                let by = affinity::by(&spec.policy.balance, head, Some(client));
                told.steps.extend(steps::balance(&spec.policy.balance, by));
                let before = (head.authority().to_owned(), head.target().to_owned());
                change::rewrite(&spec.rewrite, &spec.matches, head).map_err(internal)?;
                told.steps.extend(steps::rewrite(&before, head));
                let mut taking = backends.iter().filter(|backend| backend.weight > 0);
                told.steps.extend(taking.clone().flat_map(steps::backend));
                if let (Some(only), None) = (taking.next(), taking.next()) {
                    change::fields(&only.request_fields, &mut head.fields);
                }
                priority::write(priority::of(&spec.policy), &mut head.fields);
                told.steps.extend(steps::grpc_web(head));
                let policy = &spec.policy;
                told.steps
                    .extend(policy.cache.as_ref().map(|cache| steps::cache(cache, head)));
                let stands_in = policy.fallback.as_ref();
                told.steps
                    .extend(stands_in.and_then(|fallback| steps::fallback(fallback, head)));
                told.steps.extend(spec.mirrors.iter().map(steps::mirror));
                Ok(End::Forwarded {
                    backends: backends.clone(),
                    sent: sent(head),
                })
            }
        }
    }
}

/// Reads it as the gateway reads bytes, so that what is refused there is refused here. What is one part of a request here may not
/// be two there, so a line end is refused where it stands.
fn read(asked: &Asked) -> Result<RequestHead, End> {
    let has_end = |text: &str| text.contains(['\r', '\n']);
    let own_host = asked.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let broken = if has_end(&asked.method) || has_end(&asked.target) {
        Some(HeadError::RequestLine)
    } else if has_end(&asked.authority) {
        Some(HeadError::HostInvalid)
    } else if asked.fields.iter().any(|(name, _)| has_end(name)) {
        Some(HeadError::FieldName)
    } else {
        let in_value = asked.fields.iter().any(|(_, value)| has_end(value));
        in_value.then_some(HeadError::FieldValue)
    };
    if let Some(error) = broken {
        return Err(unreadable(error));
    }
    let mut bytes = format!("{} {} HTTP/1.1\r\n", asked.method, asked.target);
    if !own_host {
        bytes.push_str(&format!("host: {}\r\n", asked.authority));
    }
    for (name, value) in &asked.fields {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    let mut head = RequestHead::default();
    let found = Search::default().take(&mut bytes.as_bytes().into(), &mut head);
    let found = found.map_err(unreadable)?;
    // The end is there, so there is a head or an error.
    found.map(|_| head).ok_or_else(|| unreadable(HeadError::RequestLine))
}

fn unreadable(error: HeadError) -> End {
    answered(
        error.status().as_u16(),
        Some(error.code()),
        Some(error.to_string()),
        &Fields::new(),
    )
}

fn sent(head: &RequestHead) -> Sent {
    let method: &Method = &head.method;
    Sent {
        method: method.to_string(),
        host: head.authority().to_owned(),
        target: head.target().to_owned(),
        headers: pairs(&head.fields),
    }
}

fn pairs(fields: &Fields) -> Vec<(String, String)> {
    let all = fields.iter();
    all.map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect()
}

fn answered(status: u16, code: Option<ErrorCode>, detail: Option<String>, fields: &Fields) -> End {
    End::Answered {
        status,
        code,
        detail,
        headers: pairs(fields),
    }
}

fn of_head(answer: &ResponseHead) -> End {
    answered(answer.status.as_u16(), None, None, &answer.fields)
}

fn refused(answer: Answer) -> End {
    answered(
        answer.status.as_u16(),
        Some(answer.code),
        Some(answer.detail),
        &answer.fields,
    )
}

fn denied(denied: Denied) -> End {
    let fields: Fields = denied
        .fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    answered(denied.status.as_u16(), Some(denied.code), Some(denied.detail), &fields)
}

#[cfg(test)]
mod tests;
