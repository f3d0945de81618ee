//! Before the attempts, where answers are kept: what is there is given, one request asks for what is not, and a stale answer
//! stands in for an error. Each is counted. What stands in where nothing is kept: `fallback.rs`.
//!
//! Decisions are those of `ondol_resilience::cache`, memory is `crate::cache`; this is the line between them.

use super::going::dialect;
use super::{Front, Going};
use crate::answer::{Answer, Word, is_grpc};
use crate::attempt::{Answered, Lost, Plan, Tried};
use crate::beside::Beside;
use crate::cache::{self, Asked, Conditions, Fault, Found, Given, How, Known, Lead, Stored, respond};
use crate::exchange::{Reply, Response};
use crate::filter::priority;
use crate::limits::{self, Activity, Span};
use crate::message::{Body, RequestHead, ResponseHead};
use crate::race::{Raced, race};
use crate::report::Line;
use crate::tables::{Tables, Target};
use http::{Method, StatusCode};
use ondol_core::error::ErrorCode;
use ondol_core::task::Kind;
use ondol_core::wire::proxy::CacheResult;
use ondol_resilience::bulkhead::Priority;
use ondol_resilience::cache::{Terms, is_error};
use ondol_resilience::deadline::Deadline;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Nobody waits longer for an answer that another has asked for, nor longer than half of what is left of its deadline.
const WAIT: Duration = Duration::from_secs(5);

/// What the service's answer to a question means for what is kept.
enum Verdict {
    /// What is kept is still so, with this head.
    Confirmed(ResponseHead),
    /// It failed.
    Failed,
    /// To be kept.
    Keep(Terms),
    /// To be passed on alone.
    Pass,
}

/// `asks`: whether what is kept is still so.
fn judge(asked: &Asked, lead: &Lead, asks: bool, head: &ResponseHead, took: Duration, beside: &Beside) -> Verdict {
    let status = head.status.as_u16();
    if let Some(stored) = lead.stored().filter(|_| asks && status == 304) {
        return Verdict::Confirmed(cache::merged(stored, head));
    }
    match asked.terms(head, took, beside.clock.wall()) {
        // What was well before is better than an error.
        _ if is_error(status) && lead.stored().is_some() => Verdict::Failed,
        Some(terms) => Verdict::Keep(terms),
        None if is_error(status) => Verdict::Failed,
        None => Verdict::Pass,
    }
}

impl Front<'_> {
    /// Answers a request from what is kept, or sends it to where it may go and keeps the answer. What leads to the service is
    /// boxed: an answer that is there needs none of its room.
    pub(super) async fn go_by_cache<'b, R: Reply>(
        &self,
        tables: &Tables,
        going: &Going<'_>,
        head: &mut RequestHead,
        body: Body<'b>,
        line: &Arc<Line>,
        reply: &mut R,
    ) -> Tried<'b> {
        let shared = self.worker.shared();
        let asked = match (&going.policy.cache, going.target) {
            (Some(spec), Target::Service(way))
                if is_whole_call(&going.plan, head, &body) && dialect(going, head).is_none() =>
            {
                Asked::of(&shared.cache, &line.name, way.cluster().peer(), spec, head)
            }
            _ => None,
        };
        let Some(asked) = asked else {
            return Box::pin(self.go_past_cache(tables, going, head, body, line, reply)).await;
        };
        let until = patience(&going.plan, shared.clock.mono());
        let mut collapsed = false;
        loop {
            let now = shared.clock.mono();
            // What is asked for by HEAD is not there to be kept.
            let may_wait = now < until && head.method == Method::GET;
            let result = match shared.cache.look(&asked, &head.fields, now, may_wait) {
                Found::Wait(flight) => {
                    collapsed = true;
                    if wait(flight, until.saturating_sub(now), reply).await {
                        continue;
                    }
                    return Tried::gone();
                }
                Found::Fresh(given) if collapsed => (CacheResult::Collapsed, given),
                Found::Fresh(given) => (CacheResult::Hit, given),
                Found::Stale(given, lead) => {
                    if let Some(lead) = lead {
                        self.refresh(going, head, lead, asked);
                    }
                    (CacheResult::Updating, given)
                }
                Found::Absent => return absent(line),
                Found::Lead(lead) | Found::Alone(lead) if head.method == Method::HEAD => {
                    let lead = lead.alone(); // Nobody is to wait for an answer without a body.
                    let tried = Box::pin(self.go(tables, going, head, body, line, reply)).await;
                    return match has_failed(&tried) {
                        true => failed(tried, lead.stand_in(shared.clock.mono()), line, &Conditions::default()),
                        false => seen(tried, line, How::new(CacheResult::Miss)),
                    };
                }
                Found::Alone(lead)
                    if collapsed
                        && !may_wait
                        && let Some(given) = lead.stand_in(now) =>
                {
                    (CacheResult::Stale, given) // The service is so slow that it has as good as failed; it was not asked.
                }
                Found::Lead(lead) | Found::Alone(lead) => {
                    return Box::pin(self.ask(tables, going, head, line, reply, (asked, lead))).await;
                }
            };
            let conditions = Conditions::of(&head.fields);
            return give(result, line, &conditions, Tried::gone());
        }
    }

    /// A request that may have changed what is kept has its answer. What counts is who keeps answers now: while it was under way that
    /// may have begun.
    pub(super) fn hear(&self, target: &Target, head: &RequestHead, line: &Line, tried: &Tried<'_>) {
        let shared = self.worker.shared();
        if let Ok(answered) = &tried.result
            && cache::changes(&head.method, answered.response.head.status)
            && shared.keeps(target)
        {
            shared.cache.change(&line.name, head, shared.clock.mono());
        }
    }

    /// What is not kept.
    async fn go_past_cache<'b, R: Reply>(
        &self,
        tables: &Tables,
        going: &Going<'_>,
        head: &mut RequestHead,
        body: Body<'b>,
        line: &Arc<Line>,
        reply: &mut R,
    ) -> Tried<'b> {
        let tried = self.go(tables, going, head, body, line, reply).await;
        match going.policy.cache.is_some() && head.method.is_safe() {
            true => seen(tried, line, How::new(CacheResult::Bypass)),
            false => tried,
        }
    }

    /// Asks the service, and keeps what may be kept.
    async fn ask<R: Reply>(
        &self,
        tables: &Tables,
        going: &Going<'_>,
        head: &mut RequestHead,
        line: &Arc<Line>,
        reply: &mut R,
        (asked, mut lead): (Asked, Lead),
    ) -> Tried<'static> {
        let left = going.plan.deadline.and_then(|deadline| deadline.left(lead.begun()));
        lead.within(left.unwrap_or_default(), Duration::from_millis(going.policy.timeout_ms));
        // Who asks for nobody else may be told that nothing has changed.
        let conditions = match lead.is_of_use() {
            true => Conditions::take(&mut head.fields),
            false => Conditions::default(),
        };
        let asks = lead.ask_whether_changed(head);
        let mut tried = self.go(tables, going, head, Body::Empty, line, reply).await;
        let beside = Beside::of(self.worker);
        let now = beside.clock.mono();
        let answered = match &mut tried.result {
            Err(Lost::Own(_)) if asked.is_for_itself() => return seen(tried, line, How::new(CacheResult::Error)),
            Err(Lost::Own(answer)) if answer.status.is_server_error() => {
                let given = lead.fail(now, beside.entropy.next_u64(), fault(answer));
                return failed(tried, given, line, &conditions);
            }
            Err(_) => return tried,
            Ok(answered) => answered,
        };
        let took = now.saturating_sub(lead.begun());
        let told = &answered.response.head;
        let mut how = How {
            status: Some(told.status.as_u16()),
            ..How::new(CacheResult::Miss)
        };
        match judge(&asked, &lead, asks, told, took, &beside) {
            // It wants no other answer than this one, and asks with fields that others do not.
            Verdict::Failed if asked.is_for_itself() => drop(lead),
            Verdict::Failed => {
                let given = lead.fail(now, beside.entropy.next_u64(), Fault::Origin);
                return failed(tried, given, line, &conditions);
            }
            Verdict::Confirmed(merged) => {
                how.result = CacheResult::Revalidated;
                let terms = asked.terms(&merged, took, beside.clock.wall());
                let age = terms.map_or(took, |terms| terms.age);
                let body = lead.stored().map(|stored| stored.body.clone()).unwrap_or_default();
                // Its client gets all that was said, others what is of the answer.
                let (fields, status) = (merged.fields.clone(), merged.status);
                let told = Stored {
                    status,
                    fields,
                    body: body.clone(),
                };
                let stored = Stored::new(&merged, body);
                answered.response = respond(&told, age, &how, &conditions);
                match terms {
                    Some(terms) => {
                        let known = Known::of(&merged.fields, &head.fields);
                        lead.keep(now, terms, stored, known);
                    }
                    None => lead.pass(now),
                }
            }
            Verdict::Keep(terms) => {
                let response = std::mem::take(&mut answered.response);
                let (mut response, stored) =
                    cache::record(self.worker, (lead, terms), &head.fields, response, &mut answered.permit);
                how.stored = stored;
                how.write(&mut response.head.fields);
                answered.response = cache::known(response, &conditions);
            }
            Verdict::Pass => {
                let gone = matches!(told.status, StatusCode::NOT_FOUND | StatusCode::GONE);
                let of_one = told.status.is_client_error() && !gone && lead.stored().is_some();
                match of_one || told.status == StatusCode::NOT_MODIFIED {
                    true => drop(lead), // It says nothing of what others would get.
                    false => lead.pass(now),
                }
                how.write(&mut answered.response.head.fields);
                let response = std::mem::take(&mut answered.response);
                answered.response = cache::known(response, &conditions);
            }
        }
        count(&mut tried, line, how.result);
        tried
    }

    /// Fetches an answer anew, beside the request that was given a stale one.
    fn refresh(&self, going: &Going<'_>, head: &RequestHead, lead: Lead, asked: Asked) {
        let (Target::Service(way), Some(counted)) = (going.target, self.worker.records.enter()) else {
            return;
        };
        let (way, mut head) = (way.clone(), head.clone());
        head.method = Method::GET;
        Conditions::take(&mut head.fields);
        let asks = lead.ask_whether_changed(&mut head);
        // Whoever asked has an answer: others come first.
        priority::write(Priority::Batch, &mut head.fields);
        let span = Duration::from_millis(going.policy.timeout_ms);
        let deadline = Deadline::new(lead.begun(), span, None);
        let plan = Plan {
            deadline: Some(deadline),
            wish: going.plan.wish,
            priority: Priority::Batch,
            ..Plan::default()
        };
        let beside = Beside::of(self.worker);
        self.worker.tasks().spawn_local(Kind::Upstream, async move {
            let tried = beside.call(&way, &plan, &mut head, Body::Empty).await;
            let (now, random) = (beside.clock.mono(), beside.entropy.next_u64());
            let answered = match tried.result {
                Ok(answered) => answered,
                Err(Lost::Own(answer)) => return drop(lead.fail(now, random, fault(&answer))),
                Err(Lost::Gone) => return,
            };
            let took = now.saturating_sub(lead.begun());
            let Response { head: told, body, .. } = answered.response;
            match judge(&asked, &lead, asks, &told, took, &beside) {
                Verdict::Failed => drop(lead.fail(now, random, Fault::Origin)),
                Verdict::Pass => lead.pass(now),
                Verdict::Confirmed(merged) => match asked.terms(&merged, took, beside.clock.wall()) {
                    Some(terms) => {
                        let body = lead.stored().map(|stored| stored.body.clone()).unwrap_or_default();
                        let known = Known::of(&merged.fields, &head.fields);
                        lead.keep(now, terms, Stored::new(&merged, body), known);
                    }
                    None => lead.pass(now),
                },
                Verdict::Keep(terms) => {
                    let body = limits::within(body, Span::Until(deadline.0), &beside.clock, &Activity::default());
                    let lead = lead.heard(now, &terms);
                    let read = cache::whole(body).await;
                    let then = beside.clock.mono();
                    match read {
                        Ok(Some(body)) => {
                            let known = Known::of(&told.fields, &head.fields);
                            let terms = cache::aged(terms, then.saturating_sub(now));
                            lead.keep(then, terms, Stored::new(&told, body), known);
                        }
                        Ok(None) => lead.pass(then),
                        Err(error) => drop(lead.fail(then, random, cache::fault(&error))),
                    }
                }
            }
            drop((answered.permit, counted));
        });
    }
}

/// Whether a request asks for one answer with an end.
fn is_whole_call(plan: &Plan, head: &RequestHead, body: &Body<'_>) -> bool {
    body.is_empty() && plan.deadline.is_some() && !plan.lasts && !plan.websocket && !is_grpc(head)
}

/// Whose fault it is that there is no answer of the service.
fn fault(answer: &Answer) -> Fault {
    match answer.code.as_str() {
        "GW-025" => Fault::Late,
        "GW-075" => Fault::Asker, // Of those who wanted a place it mattered least, or came last.
        _ => Fault::Origin,
    }
}

/// Whether what is kept may stand in.
fn has_failed(tried: &Tried<'_>) -> bool {
    match &tried.result {
        Ok(answered) => is_error(answered.response.head.status.as_u16()),
        Err(Lost::Own(answer)) => answer.status.is_server_error(),
        Err(Lost::Gone) => false,
    }
}

/// Until when it waits for others.
fn patience(plan: &Plan, now: Duration) -> Duration {
    let left = plan.deadline.and_then(|deadline| deadline.left(now));
    now.saturating_add(WAIT.min(left.unwrap_or_default() / 2))
}

/// Waits for another's answer, for so long at most; false: the client went away.
async fn wait<R: Reply>(mut flight: watch::Receiver<bool>, span: Duration, reply: &mut R) -> bool {
    // An error means that whoever asked has gone without a word, which is an end too.
    let landed = pin!(flight.wait_for(|landed| *landed));
    !matches!(race(reply, Some(span), landed).await, Err(Raced::Gone))
}

fn count(tried: &mut Tried<'_>, line: &Line, result: CacheResult) {
    line.count_kept(result);
    tried.kept = Some(result);
}

/// An answer of a service, counted and marked.
fn seen<'b>(mut tried: Tried<'b>, line: &Line, how: How) -> Tried<'b> {
    let how = how.forwarded(tried.made > 0);
    match &mut tried.result {
        Ok(answered) => how.write(&mut answered.response.head.fields),
        Err(Lost::Own(answer)) => how.write(&mut answer.fields),
        Err(Lost::Gone) => {}
    }
    count(&mut tried, line, how.result);
    tried
}

/// A kept answer. `tried`: what was tried before.
fn give<'b>(
    (result, given): (CacheResult, Given),
    line: &Line,
    conditions: &Conditions,
    mut tried: Tried<'b>,
) -> Tried<'b> {
    let how = How::given(result, &given).forwarded(tried.made > 0);
    let response = respond(&given.stored, given.age, &how, conditions);
    tried.result = Ok(Answered { response, permit: None });
    tried.endpoint = None; // It is nobody's answer, so no session begins with it.
    count(&mut tried, line, result);
    tried
}

/// The service failed: what stands in for it, or the error.
fn failed<'b>(tried: Tried<'b>, given: Option<Given>, line: &Line, conditions: &Conditions) -> Tried<'b> {
    match given {
        Some(given) => give((CacheResult::Stale, given), line, conditions, tried),
        None => seen(tried, line, How::new(CacheResult::Error)),
    }
}

/// The client wants no more than what is kept, and there is nothing: RFC 9111, section 5.2.1.7.
fn absent<'b>(line: &Line) -> Tried<'b> {
    let answer = Answer::new(
        StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::new("GW-078"),
        Word::HttpRequestError,
        "no answer is kept, and the request says `Cache-Control: only-if-cached`",
    );
    seen(Tried::refused(answer), line, How::new(CacheResult::Error))
}
