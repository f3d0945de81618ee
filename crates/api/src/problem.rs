//! Errors as RFC 9457 problem documents.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use ondol_core::engine::StoreError;
use ondol_core::error::ErrorCode;
use ondol_deploy::configuration::NotTaken;
use ondol_deploy::handle::Refused;
use ondol_events::EventsError;
use ondol_events::reconcile::ReconcileError;
use ondol_events::subscription::SubscriptionError;
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
    /// Of broken manifests: every error with its place.
    pub findings: Option<Box<serde_json::Value>>,
}

impl Problem {
    /// A problem that a repeat does not mend.
    pub fn new(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            findings: None,
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

    /// 500: a stored event that is no JSON any more.
    pub fn unreadable(id: &str, error: &serde_json::Error) -> Self {
        Self::store(&StoreError::Broken(format!("event {id:?}: {error}")))
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
            retry_after,
            ..Self::new(status, error.code(), error.to_string())
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut body = json!({
            "title": title, "status": self.status.as_u16(), "detail": self.detail, "code": self.code.as_str(),
        });
        if let Some(findings) = self.findings {
            body["findings"] = *findings;
        }
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
            EventsError::NotPublished { .. } => Self::new(StatusCode::FORBIDDEN, error.code(), error.to_string()),
            EventsError::Conflict { .. } => Self::new(StatusCode::CONFLICT, error.code(), error.to_string()),
            EventsError::Schema { .. } | EventsError::TooDeep { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
            }
            _ => Self::new(StatusCode::BAD_REQUEST, error.code(), error.to_string()),
        }
    }
}

impl From<SubscriptionError> for Problem {
    fn from(error: SubscriptionError) -> Self {
        if let SubscriptionError::Store(error) = &error {
            return Self::store(error);
        }
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            ..Self::new(status, error.code(), error.to_string())
        }
    }
}

impl From<ReconcileError> for Problem {
    fn from(error: ReconcileError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            ..Self::new(status, error.code(), error.to_string())
        }
    }
}

impl From<SagaError> for Problem {
    fn from(error: SagaError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self {
            retry_after,
            ..Self::new(status, error.code(), error.to_string())
        }
    }
}

impl From<Refused> for Problem {
    fn from(error: Refused) -> Self {
        let status = match &error {
            Refused::Unknown(_) => StatusCode::NOT_FOUND,
            Refused::Skipped { .. } => StatusCode::CONFLICT,
            Refused::Scale { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Refused::Store(_) | Refused::Stopping | Refused::Busy | Refused::Building => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refused::Configuration(error) => return error.clone().into(),
        };
        Self {
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            ..Self::new(status, error.code(), error.to_string())
        }
    }
}

impl From<NotTaken> for Problem {
    fn from(error: NotTaken) -> Self {
        let status = match &error {
            NotTaken::Broken { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            NotTaken::Unknown { .. } | NotTaken::First(_) => StatusCode::NOT_FOUND,
            NotTaken::Others { .. } | NotTaken::Unbound(_) => StatusCode::CONFLICT,
            NotTaken::Unkept(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self {
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            ..Self::new(status, error.code(), error.to_string())
        };
        match error {
            NotTaken::Broken { findings, .. } => Self {
                findings: findings.get("findings").cloned().map(Box::new),
                ..problem
            },
            _ => problem,
        }
    }
}

/// What the router itself refuses (a path, a query or a body that does not fit, another method) becomes a problem too.
pub(crate) async fn complete(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let status = response.status();
    if !plain || !status.is_client_error() {
        return response;
    }
    let (head, body) = response.into_parts();
    // The router's own words: short, and there already.
    let words = axum::body::to_bytes(body, 16 << 10).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    let title = status.canonical_reason().unwrap_or("refused");
    let detail = if words.is_empty() { title.to_owned() } else { words };
    let mut problem = Problem {
        status,
        ..Problem::bad_request(detail)
    }
    .into_response();
    if let Some(allow) = head.headers.get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

/// What a handler gives.
pub type Answer<T> = Result<T, Problem>;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::{Path, Query};
    use axum::routing::post;
    use axum::{Json, Router, middleware};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        #[serde(rename = "n")]
        _n: Option<u32>,
    }

    async fn number(Path(_): Path<u32>, Query(_): Query<Small>, Json(_): Json<Small>) {}

    #[tokio::test]
    async fn what_the_extractors_refuse_is_a_problem_with_their_status_and_words() {
        let router = Router::new().route("/{number}", post(number));
        let router = TowerToHyperService::new(router.layer(middleware::map_response(complete)));
        let cases = [
            ("/x", "application/json", "{}", 400, "Cannot parse"),
            ("/1?n=x", "application/json", "{}", 400, "query string"),
            ("/1?m=1", "application/json", "{}", 400, "unknown field `m`"),
            ("/1", "application/json", "{\"n\":", 400, "Failed to parse"),
            ("/1", "application/json", "{\"m\":1}", 422, "unknown field `m`"),
            ("/1", "text/csv", "{}", 415, "Content-Type"),
        ];
        for (path, kind, body, status, words) in cases {
            let request = http::Request::post(path)
                .header(header::CONTENT_TYPE, kind)
                .body(axum::body::Body::from(body));
            let Ok(response) = router.call(request.expect("request")).await;
            let name = format!("{path} {kind} {body}");
            assert_eq!(response.status(), status, "{name}");
            assert_eq!(
                response.headers()[header::CONTENT_TYPE],
                "application/problem+json",
                "{name}"
            );
            let body = axum::body::to_bytes(response.into_body(), 9_999).await.expect("body");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("json");
            assert_eq!((&body["code"], &body["status"]), (&json!("AP-001"), &json!(status)));
            assert!(
                body["detail"].as_str().is_some_and(|told| told.contains(words)),
                "{name}: {body}"
            );
        }
    }

    #[tokio::test]
    async fn what_the_router_refuses_is_a_problem_and_what_handlers_answer_stays() {
        let refused = (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response();
        let problem = complete(refused).await;
        assert_eq!(problem.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(problem.headers()[header::ALLOW], "GET");
        let body = axum::body::to_bytes(
            complete((StatusCode::BAD_REQUEST, "no digit").into_response())
                .await
                .into_body(),
            999,
        );
        let body: serde_json::Value = serde_json::from_slice(&body.await.expect("body")).expect("json");
        assert_eq!((&body["code"], &body["detail"]), (&json!("AP-001"), &json!("no digit")));
        let own = (StatusCode::CONFLICT, Json(json!({ "id": 1 }))).into_response();
        assert_eq!(complete(own).await.headers()[header::CONTENT_TYPE], "application/json");
    }
}
