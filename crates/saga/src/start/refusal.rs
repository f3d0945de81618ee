//! Why a start got no saga's answer, as the problem document that its client sees. Pure.
//!
//! Tests: each refusal by its code in `tests/engine.rs`.

use super::{StartAnswer, put};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use ondol_core::error::ErrorCode;
use ondol_core::id::{SagaId, SagaName};
use serde_json::json;

/// A start that was refused, or whose answer did not come in time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    code: ErrorCode,
    status: StatusCode,
    title: &'static str,
    detail: String,
    pointer: Option<String>,
    saga: Option<SagaId>,
    retry_after: Option<u32>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            status,
            title,
            detail: detail.into(),
            pointer: None,
            saga: None,
            retry_after: None,
        }
    }

    pub(crate) fn unknown_saga(name: &SagaName) -> Self {
        Self::new(
            ErrorCode::new("SG-003"),
            StatusCode::NOT_FOUND,
            "No such saga",
            format!("there is no saga definition `{name}`"),
        )
    }

    pub(crate) fn other_body(saga: Option<SagaId>) -> Self {
        let detail = "this Idempotency-Key was used with another body; a new request takes a new key";
        let refusal = Self::new(
            ErrorCode::new("SG-006"),
            StatusCode::UNPROCESSABLE_ENTITY,
            "Key used with another body",
            detail,
        );
        Self { saga, ..refusal }
    }

    pub(super) fn no_fit(pointer: impl Into<String>, why: impl Into<String>) -> Self {
        let refusal = Self::new(
            ErrorCode::new("SG-007"),
            StatusCode::BAD_REQUEST,
            "The body does not fit",
            why,
        );
        Self {
            pointer: Some(pointer.into()),
            ..refusal
        }
    }

    pub(crate) fn too_large(why: String) -> Self {
        Self::new(
            ErrorCode::new("SG-008"),
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is too large",
            why,
        )
    }

    pub(crate) fn full() -> Self {
        let detail = "as many sagas run as this controller drives at once; nothing was started";
        let refusal = Self::new(
            ErrorCode::new("SG-009"),
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many sagas run",
            detail,
        );
        Self {
            retry_after: Some(1),
            ..refusal
        }
    }

    pub(crate) fn not_visible(saga: SagaId) -> Self {
        let detail = "the saga goes on; the same Idempotency-Key joins it";
        let refusal = Self::new(
            ErrorCode::new("SG-010"),
            StatusCode::SERVICE_UNAVAILABLE,
            "Not known yet",
            detail,
        );
        Self {
            saga: Some(saga),
            retry_after: Some(2),
            ..refusal
        }
    }

    pub(crate) fn store(saga: Option<SagaId>, why: String) -> Self {
        let refusal = Self::new(
            ErrorCode::new("SG-011"),
            StatusCode::SERVICE_UNAVAILABLE,
            "The store did not answer",
            why,
        );
        Self {
            saga,
            retry_after: Some(2),
            ..refusal
        }
    }

    pub(crate) fn answer(self) -> StartAnswer {
        let mut headers = HeaderMap::with_capacity(2);
        put(&mut headers, header::CONTENT_TYPE, "application/problem+json");
        let mut problem = json!({ "title": self.title, "status": self.status.as_u16(), "detail": self.detail, "code": self.code.as_str() });
        if let Some(pointer) = &self.pointer {
            problem["pointer"] = pointer.as_str().into();
        }
        if let Some(saga) = self.saga {
            problem["saga"] = saga.to_string().into();
        }
        if let Some(seconds) = self.retry_after {
            put(&mut headers, header::RETRY_AFTER, &seconds.to_string());
        }
        StartAnswer {
            status: self.status,
            headers,
            body: Bytes::from(problem.to_string()),
            saga: self.saga,
            code: Some(self.code),
        }
    }
}
