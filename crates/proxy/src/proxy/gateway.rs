//! The gateway's half of the line: nobody is believed before a route's filters have passed. What it does and in which order is told
//! by `dry.rs` for requests that nobody sends.

use super::plan::{grpc_timeout, hurries, plan};
use super::{Front, Going, Seen, Stop};
use crate::attempt::Plan;
use crate::cluster::Wish;
use crate::filter::{affinity, change, cors, identity, limit::Who, priority, session};
use crate::message::{RequestHead, Version};
use crate::refusal;
use crate::route::Route;
use crate::tables::{Backend, Door, Rule, Tables};
use crate::tls;
use http::Method;
use ondol_core::wire::proxy::{self as wire, Action};
use ondol_resilience::deadline::Deadline;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What a start may take beyond its wait: the controller's ten seconds for `visible_after`, and two for the way.
const START_GRACE: Duration = Duration::from_secs(12);

impl Front<'_> {
    pub(super) async fn gateway_half<'t>(
        &self,
        tables: &'t Tables,
        head: &mut RequestHead,
        websocket: bool,
        seen: &mut Seen,
    ) -> Result<Going<'t>, Stop> {
        let peer = seen.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let client = tables.trusted.resolve(head, peer, scheme);
        seen.client = Some(client);
        identity::strip(&mut head.fields);
        if let Some(session) = &self.tls {
            if session.is_misdirected(head.host()) {
                return Err(refusal::misdirected(head).into());
            }
            if let Some(name) = &session.client {
                head.fields.push(tls::identity::FIELD, &**name);
            }
        }
        seen.trace.write(&mut head.fields);
        let route = tables.routes.find(head).ok_or_else(|| refusal::no_route(head))?;
        let rule = &tables.rules[route.index];
        (seen.line, seen.route) = (rule.line.clone(), Some(route.index));
        if let Some(cors) = &route.spec.cors {
            if cors::preflight(head).is_some() {
                return Err(Stop::Answered(cors::answer(cors, head)));
            }
            seen.origin = cors::allowed(cors, &head.fields);
        }
        self.admit(rule, route, head, client).await?;
        change::fields(&route.spec.request_fields, &mut head.fields);
        match &route.spec.action {
            Action::Forward(backends) => self.forward(rule, route, backends, head, websocket, seen),
            Action::Redirect(to) => {
                let scheme = head.fields.get_str("x-forwarded-proto").unwrap_or("http");
                let answer = change::redirect(to, &route.spec.matches, head, scheme);
                Err(answer.map_or_else(|error| refusal::internal(&error.to_string()).into(), Stop::Answered))
            }
            Action::Start {
                wait_ms, key_required, ..
            } => {
                if websocket && head.version == Version::Http2 {
                    // The answer of a start would be taken for an open WebSocket.
                    return Err(refusal::not_a_websocket("its route starts a saga").into());
                }
                if *key_required && !head.fields.contains("idempotency-key") {
                    return Err(refusal::no_key().into());
                }
                let name = format!("/v1/starts/{}", route.spec.name);
                head.method = Method::POST;
                head.set_target(name.as_bytes())
                    .map_err(|error| refusal::internal(&error.to_string()))?;
                let span = Duration::from_millis(*wait_ms).saturating_add(START_GRACE);
                let plan = Plan {
                    deadline: Some(Deadline::new(seen.began, span, None)),
                    waits: true,
                    ..Plan::default()
                };
                let backend = rule.backend(0).ok_or_else(refusal::nowhere)?;
                Ok(going(rule, backend, route, plan))
            }
        }
    }

    /// By token, then by rate.
    async fn admit(&self, rule: &Rule, route: &Route, head: &mut RequestHead, address: IpAddr) -> Result<(), Stop> {
        let identity = match &rule.door {
            Door::Open => None,
            Door::Guarded(guard) => Some(guard.admit(head).await?),
            Door::Shut => return Err(refusal::no_issuer(route).into()),
        };
        if let Some(limiter) = &rule.limiter {
            let who = Who {
                subject: identity.as_ref().map(|identity| identity.subject.as_str()),
                address,
                fields: &head.fields,
            };
            limiter.check(who, self.worker.shared().clock.mono())?;
        }
        Ok(())
    }

    /// To the service of its session, else to one by weight.
    fn forward<'t>(
        &self,
        rule: &'t Rule,
        route: &'t Route,
        backends: &[wire::Backend],
        head: &mut RequestHead,
        websocket: bool,
        seen: &mut Seen,
    ) -> Result<Going<'t>, Stop> {
        let now = self.worker.shared().clock.wall();
        let session = route.spec.session.as_ref();
        seen.session = session.and_then(|session| session::read(session, &head.fields, now));
        let kept = seen.session.and_then(|token| rule.backend_of(token.instance));
        let backend = kept.or_else(|| rule.backend(self.worker.entropy().next_u64()));
        let Some(backend) = backend else {
            return Err(refusal::no_weight(route).into());
        };
        (seen.line, seen.backend) = (backend.line.clone(), Some(backend.index));
        let wish = Wish {
            session: seen.session.map(|token| token.instance),
            by: affinity::by(&route.spec.policy.balance, head, seen.client),
        };
        change::rewrite(&route.spec.rewrite, &route.spec.matches, head)
            .map_err(|error| refusal::internal(&error.to_string()))?;
        change::fields(&backends[backend.index].request_fields, &mut head.fields);
        let timed = (seen.began, grpc_timeout(head));
        let mut plan = plan(&route.spec.policy, &backend.target, head, websocket, timed);
        plan.hurried = hurries(&route.spec.policy, timed.1);
        plan.wish = wish;
        priority::write(plan.priority, &mut head.fields);
        Ok(going(rule, backend, route, plan))
    }
}

fn going<'t>(rule: &'t Rule, backend: &'t Backend, route: &'t Route, plan: Plan) -> Going<'t> {
    Going {
        plan,
        target: &backend.target,
        policy: &route.spec.policy,
        others: &rule.others,
    }
}
