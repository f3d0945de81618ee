//! What every service answers alike, and how it calls another one.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use shop_kit::testing::Service;
use shop_kit::{CallError, Caller, Client, JsonBody, MAX_BODY, Problem};

const SOON: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Note {
    text: String,
}

async fn length(note: JsonBody<Note>) -> Json<usize> {
    Json(note.value.text.len())
}

async fn admin(caller: Caller) -> Result<Json<String>, Problem> {
    caller.require_role("admin")?;
    Ok(Json(caller.subject))
}

fn router() -> Router {
    Router::new().route("/length", post(length)).route("/admin", get(admin))
}

/// Sends bytes as they are.
async fn raw(service: &Service, kind: &str, body: Bytes) -> (StatusCode, Value) {
    let request = Request::post("/length")
        .header("content-type", kind)
        .body(body)
        .unwrap();
    let response = Client::new(service.url()).send(request, SOON).await.unwrap();
    (response.status(), serde_json::from_slice(response.body()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_there_and_what_is_not_there_is_a_problem() {
    let service = Service::start(router()).await;
    assert_eq!(service.get("", "/health").await.status, 200);
    for (method, path, status, reason) in [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/length", 405, "method_not_allowed"),
    ] {
        let said = service.ask(method, path, &[], Value::Null).await;
        assert_eq!((said.status, &said.body["reason"]), (status, &json!(reason)));
        assert_eq!(said.headers["content-type"], "application/problem+json");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_fit_is_told_why() {
    let service = Service::start(router()).await;
    let large = Bytes::from(format!("{{\"text\":\"{}\"}}", "x".repeat(MAX_BODY)));
    for (kind, body, status, reason) in [
        (
            "application/json",
            Bytes::from("{\"text\":"),
            StatusCode::BAD_REQUEST,
            "bad_body",
        ),
        (
            "application/json",
            Bytes::from("{\"text\":5}"),
            StatusCode::BAD_REQUEST,
            "bad_body",
        ),
        ("application/json", Bytes::new(), StatusCode::BAD_REQUEST, "bad_body"),
        (
            "application/json",
            large,
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
        ),
        (
            "text/plain",
            Bytes::from("{}"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
        ),
    ] {
        let (said, body) = raw(&service, kind, body).await;
        assert_eq!((said, &body["reason"]), (status, &json!(reason)));
    }
    let (said, body) = raw(&service, "application/json", Bytes::from("{\"text\":5}")).await;
    assert_eq!(said, StatusCode::BAD_REQUEST);
    let title = body["title"].as_str().unwrap();
    assert!(
        title.contains("expected a string") && title.contains("line 1 column 9"),
        "{title}"
    );
    let kind = "application/merge-patch+json; charset=utf-8";
    assert_eq!(
        raw(&service, kind, Bytes::from("{\"text\":\"four\"}")).await,
        (StatusCode::OK, json!(4))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_whom_the_gateway_says_with_the_roles_it_says() {
    let service = Service::start(router()).await;
    for (headers, status) in [
        (&[][..], 401),
        (&[("ondol-subject", " ")], 401),
        (&[("ondol-subject", "bob")], 403),
        (&[("ondol-subject", "bob"), ("ondol-roles", "administrator")], 403),
        (&[("ondol-subject", "bob"), ("ondol-roles", "clerk admin")], 200),
        (&[("ondol-subject", "bob"), ("ondol-roles", "clerk,admin")], 200),
    ] {
        assert_eq!(
            service.ask("GET", "/admin", headers, Value::Null).await.status,
            status,
            "{headers:?}"
        );
    }
}

/// Answers with the trace and the deadline that it was given.
async fn echo(headers: HeaderMap) -> Json<Value> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    Json(json!([
        text("traceparent"),
        text("baggage"),
        text("authorization"),
        text("ondol-deadline-ms")
    ]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_hands_on_the_trace_of_the_request_it_is_made_for() {
    let far = Service::start(Router::new().route("/echo", get(echo))).await;
    let near = Router::new().route(
        "/near",
        get(|State(far): State<Client>| async move { Json(far.get::<Value>("/echo", SOON).await.unwrap()) }),
    );
    let near = Service::start(near.with_state(Client::new(far.url()).with_bearer("token"))).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("traceparent", parent), ("baggage", "correlation-id=c1")];
    let said = near.ask("GET", "/near", &headers, Value::Null).await;
    assert_eq!(said.body, json!([parent, "correlation-id=c1", "Bearer token", "10000"]));
    assert_eq!(
        near.get("", "/near").await.body[0],
        Value::Null,
        "and none where there is none"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_usable_answer_says_which_kind() {
    let service = Service::start(router()).await;
    let client = Client::new(service.url());
    let refused = client.get::<Value>("/nowhere", SOON).await.unwrap_err();
    assert!(matches!(
        refused,
        CallError::Refused {
            status: StatusCode::NOT_FOUND,
            ..
        }
    ));
    let unfit = client.get::<Vec<u8>>("/health", SOON).await.unwrap_err();
    assert!(matches!(unfit, CallError::BadAnswer { .. }));
    let path = client.get::<Value>("/two words", SOON).await.unwrap_err();
    assert!(matches!(path, CallError::BadPath(_)));

    // Connections to a listener that nobody accepts from are open and silent.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = Client::new(format!("http://{}", silent.local_addr().unwrap()));
    let late = mute.get::<Value>("/", Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(late, CallError::Deadline { .. }));
    drop(silent);
    let gone = mute.get::<Value>("/", SOON).await.unwrap_err();
    assert!(matches!(gone, CallError::NoAnswer { .. }));
}
