//! What stands in for an error, where something does: fresh, stale, what is declared, error; in this order, and each is counted.
//!
//! Only for `GET` and `HEAD` without a body: whoever asked for something to be done must hear that it was not.

use super::going::dialect;
use super::{Front, Going};
use crate::answer::{Word, is_grpc};
use crate::attempt::{self, Answered, Lost, Tried};
use crate::cache::Conditions;
use crate::exchange::{Reply, Response};
use crate::limits::Activity;
use crate::message::{Body, Fields, RequestHead, ResponseHead};
use crate::report::Line;
use crate::tables::Tables;
use http::{Method, StatusCode};
use ondol_core::wire::proxy::Fallback;
use ondol_resilience::cache::is_error;
use std::sync::Arc;

/// Whether kept answers or a fallback have to do with a request.
pub(super) fn concerns(tables: &Tables, going: &Going<'_>) -> bool {
    tables.stands_in && (going.policy.cache.is_some() || going.policy.fallback.is_some())
}

/// Why something is to stand in.
enum Failed {
    /// The proxy's own answer: its word and code.
    Own(String),
    /// The service's status.
    Status(u16),
}

impl Failed {
    /// `None`: there is an answer, or nobody to answer.
    fn of(tried: &Tried<'_>) -> Option<Self> {
        match &tried.result {
            // What is the request's own fault would be so elsewhere.
            Err(Lost::Own(answer)) if answer.status.is_server_error() && answer.word != Word::HttpRequestError => {
                let (word, code) = (answer.word.as_str(), &answer.code);
                Some(Self::Own(format!("error={word}; details=\"{code}, fallback\"")))
            }
            Err(_) => None,
            Ok(answered) => {
                let status = answered.response.head.status.as_u16();
                is_error(status).then_some(Self::Status(status))
            }
        }
    }

    /// Says that it is no answer of the service (RFC 9209).
    fn write(&self, fields: &mut Fields) {
        fields.push(
            "proxy-status",
            match self {
                Self::Own(words) => format!("ondol; {words}"),
                Self::Status(status) => format!("ondol; received-status={status}; details=\"fallback\""),
            },
        );
    }
}

impl Front<'_> {
    /// Sends a request to where it may go; what is kept or declared stands in for an error.
    pub(super) async fn go_guarded<'b, R: Reply>(
        &self,
        tables: &Tables,
        going: &Going<'_>,
        head: &mut RequestHead,
        body: Body<'b>,
        line: &Arc<Line>,
        reply: &mut R,
    ) -> Tried<'b> {
        let asks = matches!(head.method, Method::GET | Method::HEAD) && body.is_empty();
        let plain = asks && !going.plan.websocket && !is_grpc(head) && dialect(going, head).is_none();
        let declared = going.policy.fallback.as_ref().filter(|_| plain);
        let tried = self.go_by_cache(tables, going, head, body, line, reply).await;
        match declared.and_then(|declared| Some((declared, Failed::of(&tried)?))) {
            Some(why) => Box::pin(self.stand_in(going, head, line, reply, tried, why)).await,
            None => tried,
        }
    }

    async fn stand_in<'b, R: Reply>(
        &self,
        going: &Going<'_>,
        head: &mut RequestHead,
        line: &Line,
        reply: &mut R,
        mut tried: Tried<'b>,
        (declared, failed): (&Fallback, Failed),
    ) -> Tried<'b> {
        let answered = match declared {
            Fallback::Answer {
                status,
                content_type,
                body,
            } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
                let mut head = ResponseHead::new(status);
                head.fields.push("content-type", content_type);
                head.fields.push("cache-control", "no-store"); // It is no answer of the service.
                let body = Body::Full(body.clone().into());
                Some(Answered {
                    response: Response {
                        head,
                        body,
                        tunnel: None,
                    },
                    permit: None,
                })
            }
            Fallback::Service { .. } => {
                let other = self.ask_other(going, head, reply).await;
                if matches!(other.as_ref().map(|other| &other.result), Some(Err(Lost::Gone))) {
                    return Tried::gone();
                }
                tried.made += other.as_ref().map_or(0, |other| other.made);
                let fit = other.filter(|other| Failed::of(other).is_none());
                if let Some(other) = &fit {
                    tried.endpoint.clone_from(&other.endpoint);
                }
                fit.and_then(|other| other.result.ok())
            }
        };
        line.count_fallback(answered.is_some());
        if let Some(mut answered) = answered {
            failed.write(&mut answered.response.head.fields);
            tried.result = Ok(answered);
        }
        tried
    }

    /// Asks the other service, in what is left of the time.
    async fn ask_other<R: Reply>(
        &self,
        going: &Going<'_>,
        head: &mut RequestHead,
        reply: &mut R,
    ) -> Option<Tried<'static>> {
        let way = going.others.fallback.as_ref()?;
        Conditions::take(&mut head.fields); // They were about the first one's answer.
        let (means, activity) = (self.worker.means(), Activity::default());
        let tried = attempt::to_service(&means, way, &going.plan, head, Body::Empty, &activity, reply).await;
        Some(self.bounded(tried, &going.plan, &activity))
    }
}
