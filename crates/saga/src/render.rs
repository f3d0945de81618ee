//! Fills a plan's templates from what a saga knows: the calls with their headers, and the starter's answers.
//!
//! Pure. Invariant: the same step gives the same body and `Idempotency-Key` on every attempt; only `Ondol-Attempt`
//! changes. Tests: `tests/engine.rs`, `conformance/saga/`.

use crate::phase::Phase;
use crate::plan::{Plan, PlannedAnswer};
use crate::record::{FinalAnswer, Saved};
use crate::state::{Op, State};
use crate::template::{self, Claim, FailureField, FillError, Reference, Scope, Source};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ondol_core::caller::Call;
use serde_json::{Value, json};
use std::borrow::Cow;

/// What templates are filled from: one saga.
pub struct Known<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its plan.
    pub plan: &'a Plan,
    /// What is stored of it.
    pub saved: &'a Saved,
}

impl Scope for Known<'_> {
    fn value(&self, reference: &Reference) -> Option<Cow<'_, Value>> {
        let text = |text: &str| Some(Cow::Owned(Value::from(text)));
        let state: &State = &self.saved.state;
        match &reference.source {
            Source::Input => template::descend(&self.saved.input, &reference.path).map(Cow::Borrowed),
            Source::SagaId => text(self.id),
            Source::Auth(claim) => {
                let auth = self.saved.auth.as_deref()?;
                match claim {
                    Claim::Sub => text(&auth.subject),
                    Claim::Scope => text(&auth.scope),
                    Claim::Roles => Some(Cow::Owned(Value::from(auth.roles.clone()))),
                }
            }
            Source::Failure(field) => {
                let failure = state.failure.as_ref()?;
                text(match field {
                    FailureField::Reason => &failure.reason,
                    FailureField::Step => &failure.step,
                })
            }
            Source::Step(name) => {
                let step = self.plan.index(name.as_str())?;
                state.steps[step].output.get(&reference.dotted()).map(Cow::Borrowed)
            }
        }
    }
}

const OP: HeaderName = HeaderName::from_static("ondol-op");
const ATTEMPT: HeaderName = HeaderName::from_static("ondol-attempt");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Longest body of a starter's answer, in bytes; it is kept with the saga, escaped as a JSON string.
pub const MAX_ANSWER: usize = 256 * 1024;

impl Known<'_> {
    /// The call of attempt `n`, made under `epoch`.
    ///
    /// # Errors
    /// [`FillError`] when a template names something that is not there, or a value that does not fit its place.
    pub fn call(&self, step: usize, op: Op, n: u32, epoch: u64) -> Result<Call, FillError> {
        let call = self.plan.steps[step].call(op).0;
        let path = template::fill_path(&call.path, self)?;
        let mut body = Vec::new();
        let mut headers = self.headers(step, op, n, epoch);
        if let Some(template) = &call.body {
            template.fill(self, &mut body)?;
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let (service, method) = (call.service.clone(), call.method.clone());
        Ok(Call {
            service,
            method,
            path,
            headers,
            body: Bytes::from(body),
            timeout: call.timeout,
        })
    }

    /// Asks at `location` how attempt `n` goes.
    pub fn poll(&self, step: usize, op: Op, n: u32, epoch: u64, location: String) -> Call {
        let call = self.plan.steps[step].call(op).0;
        let (service, headers) = (call.service.clone(), self.headers(step, op, n, epoch));
        Call {
            service,
            method: Method::GET,
            path: location,
            headers,
            body: Bytes::new(),
            timeout: call.timeout,
        }
    }

    fn headers(&self, step: usize, op: Op, n: u32, epoch: u64) -> HeaderMap {
        let key = format!("{}.{}.{}", self.id, self.plan.steps[step].name, op.as_str());
        let baggage = format!("correlation-id={},causation-id={key}", percent(&self.saved.correlation));
        let mut headers = HeaderMap::with_capacity(8);
        let mut put = |name, value: String| {
            // Names and ids are checked where they enter, and percent-encoding leaves ASCII only.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        put(KEY, format!("\"{key}\""));
        put(ATTEMPT, format!("{epoch}.{n}"));
        put(TRACEPARENT, self.traceparent());
        put(BAGGAGE, baggage);
        headers.insert(OP, HeaderValue::from_static(op.as_str()));
        headers
    }

    /// The starter's, so that all calls hang in its trace; else one made of the saga's id, the same on every attempt.
    fn traceparent(&self) -> String {
        match &self.saved.traceparent {
            Some(given) => given.to_string(),
            None => {
                let hex: String = self.id.chars().filter(|c| *c != '-').collect();
                format!("00-{hex}-{}-01", &hex[hex.len().saturating_sub(16)..])
            }
        }
    }

    /// The answer that the starter gets for ever after; only for a saga that has ended.
    pub fn final_answer(&self) -> FinalAnswer {
        let planned = if self.saved.state.phase == Phase::Done {
            &self.plan.done
        } else {
            &self.plan.aborted
        };
        self.answer(planned.as_ref()).unwrap_or_else(|| self.default_answer())
    }

    /// The answer while it runs.
    pub fn waiting_answer(&self) -> FinalAnswer {
        let waiting = self.answer(self.plan.waiting.as_ref());
        waiting.unwrap_or_else(|| {
            json_answer(
                202,
                "application/json",
                &json!({ "id": self.id, "status": self.saved.state.phase.as_str() }),
            )
        })
    }

    fn default_answer(&self) -> FinalAnswer {
        match (&self.saved.state.failure, self.saved.state.phase) {
            (Some(failure), Phase::Aborted) => {
                let problem =
                    json!({ "title": "The saga was undone", "status": 409, "reason": failure.reason, "id": self.id });
                json_answer(409, "application/problem+json", &problem)
            }
            _ => json_answer(
                200,
                "application/json",
                &json!({ "id": self.id, "status": self.saved.state.phase.as_str() }),
            ),
        }
    }

    fn answer(&self, planned: Option<&PlannedAnswer>) -> Option<FinalAnswer> {
        let planned = planned?;
        let fill = || {
            let location = planned
                .location
                .as_ref()
                .map(|location| template::fill_path(location, self))
                .transpose()?;
            let mut body = Vec::new();
            planned
                .body
                .as_ref()
                .map(|template| template.fill(self, &mut body))
                .transpose()?;
            Ok::<_, FillError>((location, body))
        };
        match fill() {
            Ok((_, body)) if body.len() > MAX_ANSWER => {
                tracing::warn!(saga = %self.id, bytes = body.len(), "answer is too long to be kept; the plain one is given");
                None
            }
            Ok((location, body)) => Some(FinalAnswer {
                status: planned.status.as_u16(),
                location,
                content_type: planned.content_type.to_owned(),
                body: String::from_utf8(body).ok()?,
            }),
            Err(error) => {
                // The saga has ended all the same; its starter gets the plain answer.
                tracing::warn!(saga = %self.id, error = &error as &dyn std::error::Error, "answer cannot be filled");
                None
            }
        }
    }
}

fn json_answer(status: u16, content_type: &str, body: &Value) -> FinalAnswer {
    FinalAnswer {
        status,
        location: None,
        content_type: content_type.to_owned(),
        body: body.to_string(),
    }
}

/// Percent-encodes what may not stand in a baggage value.
fn percent(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(out)
}
