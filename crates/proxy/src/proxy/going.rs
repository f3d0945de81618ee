//! From the plan to the answer as its client reads it: bounds, copies and attempts, and gRPC-Web, of which those know nothing.

use super::{Front, Going};
use crate::answer::is_grpc;
use crate::attempt::{self, Plan, Tried};
use crate::exchange::Reply;
use crate::grpc_web::Dialect;
use crate::limits::{self, Activity, Span};
use crate::message::{Body, RequestHead, Version};
use crate::mirror;
use crate::refusal;
use crate::report::Line;
use crate::tables::{Tables, Target};
use crate::websocket::Opening;
use ondol_core::wire::proxy::Protocol;
use std::sync::Arc;

impl Front<'_> {
    /// Sends a request to where it may go.
    pub(super) async fn go<'b, R: Reply>(
        &self,
        tables: &Tables,
        going: &Going<'_>,
        head: &mut RequestHead,
        body: Body<'b>,
        line: &Arc<Line>,
        reply: &mut R,
    ) -> Tried<'b> {
        let (activity, web) = (Activity::default(), dialect(going, head));
        // A stream's sender may be silent, and a gRPC call's messages are one.
        let paced = going.plan.deadline.is_some() && !is_grpc(head) && web.is_none();
        let clock = paced.then_some(&self.worker.shared().clock);
        let body = match limits::cap(body, going.policy.body_limit, &activity, clock) {
            Ok(body) => body,
            Err(error) => {
                let refused = refusal::request_body(&error);
                return Tried::refused(refused.unwrap_or_else(|| refusal::internal("a body without a length")));
            }
        };
        let mut translated = web.as_ref().map(|web| web.request(head));
        let head = translated.as_mut().unwrap_or(head);
        let body = match &web {
            Some(web) => web.upload(body),
            None => body,
        };
        let body = match going.plan.websocket {
            true => body,
            false => mirror::copy(self.worker, &going.others.mirrors, line, head, body, &going.plan),
        };
        let opens = going.plan.websocket && head.version == Version::Http2;
        let opening = opens.then(|| Opening::new(head, self.worker.entropy()));
        let mut tried = self.attempts(tables, going, head, body, &activity, reply).await;
        if let Some(opening) = opening {
            tried.result = tried.result.and_then(|answered| opening.answer(answered));
        }
        let mut tried = self.bounded(tried, &going.plan, &activity);
        if let (Some(web), Ok(answered)) = (&web, &mut tried.result) {
            answered.response = web.answer(std::mem::take(&mut answered.response));
        }
        tried
    }

    async fn attempts<'b, R: Reply>(
        &self,
        tables: &Tables,
        going: &Going<'_>,
        head: &mut RequestHead,
        body: Body<'b>,
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
    pub(super) fn bounded<'b>(&self, mut tried: Tried<'b>, plan: &Plan, activity: &Activity) -> Tried<'b> {
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

/// How the client speaks gRPC-Web to a service that speaks gRPC; `None`: there is nothing to translate.
pub(super) fn dialect(going: &Going<'_>, head: &RequestHead) -> Option<Dialect> {
    let Target::Service(way) = going.target else {
        return None;
    };
    let speaks_grpc = way.cluster().view().protocol == Protocol::H2c && !going.plan.websocket;
    speaks_grpc.then(|| Dialect::of(head)).flatten()
}
