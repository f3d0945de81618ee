//! Errors as RFC 9457 problem documents.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use ondol_core::engine::StoreError;
use ondol_core::error::ErrorCode;
use ondol_deploy::handle::Refused;
use ondol_events::EventsError;
use ondol_saga::SagaError;
use serde_json::json;

/// A refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code; the page in `docs/errors/` says what to do.
    pub code: ErrorCode,
    /// What, where, why.
    pub detail: String,
    /// Seconds after which it may pass.
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem that a repeat does not mend.
    pub fn new(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::new("AP-001"), detail)
    }

    /// 401.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::new("AP-002"), detail)
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorCode::new("AP-003"), detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::new("AP-004"), detail)
    }

    fn store(error: &StoreError) -> Self {
        let (status, retry_after) = match error {
            StoreError::Exists(_) | StoreError::WrongRevision { .. } | StoreError::IdInUse { .. } => {
                (StatusCode::CONFLICT, None)
            }
            StoreError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, None),
            StoreError::Full | StoreError::Busy | StoreError::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Some(1))
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        Self {
            status,
            code: error.code(),
            detail: error.to_string(),
            retry_after,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({
            "title": title, "status": self.status.as_u16(), "detail": self.detail, "code": self.code.as_str(),
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::store(&error)
    }
}

impl From<EventsError> for Problem {
    fn from(error: EventsError) -> Self {
        match &error {
            EventsError::Store(inner) => Self::store(inner),
            _ => Self::new(StatusCode::BAD_REQUEST, error.code(), error.to_string()),
        }
    }
}

impl From<SagaError> for Problem {
    fn from(error: SagaError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self {
            status,
            code: error.code(),
            detail: error.to_string(),
            retry_after,
        }
    }
}

impl From<Refused> for Problem {
    fn from(error: Refused) -> Self {
        let status = match &error {
            Refused::Unknown(_) => StatusCode::NOT_FOUND,
            Refused::Skipped { .. } => StatusCode::CONFLICT,
            Refused::Scale { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Refused::Store(_) | Refused::Stopping | Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self {
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            ..Self::new(status, error.code(), error.to_string())
        }
    }
}

/// What a handler gives.
pub type Answer<T> = Result<T, Problem>;
