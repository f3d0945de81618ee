//! audit over HTTP: a real router, asking real sockets that stand for the other services.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use shop_audit::{Edges, SERVICES, service};
use shop_kit::testing::{Said, Service};
use shop_kit::{Client, Problem};
use std::net::TcpListener;

/// A service whose totals are its name.
async fn others() -> Vec<Service> {
    let mut others = Vec::new();
    for (name, _) in SERVICES {
        let totals = get(move || async move { Json(json!({"of": name})) });
        others.push(Service::start(Router::new().route("/internal/totals", totals)).await);
    }
    others
}

fn edges(others: &[Service]) -> Edges {
    let mut others = others.iter().map(|other| Some(Client::new(other.url())));
    std::array::from_fn(|_| others.next().flatten())
}

async fn audit(edges: Edges) -> Said {
    Service::start(service(edges))
        .await
        .get("admin", "/api/admin/audit")
        .await
}

fn unreachable(said: &Said) -> Vec<String> {
    let list = said.body["unreachable"].as_array().unwrap();
    list.iter()
        .map(|one| format!("{}: {}", one["service"].as_str().unwrap(), one["why"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn every_services_totals_are_shown_under_its_name() {
    let said = audit(edges(&others().await)).await;
    assert_eq!(said.status, 200, "{}", said.body);
    for (name, _) in SERVICES {
        assert_eq!(said.body["totals"][name], json!({"of": name}));
    }
    assert_eq!(unreachable(&said), Vec::<String>::new());
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_named_and_its_total_is_unknown() {
    let others = others().await;
    let mut edges = edges(&others);
    // A port that was free a moment ago and on which nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refuses = get(|| async { Problem::unavailable("busy", "Later", 1) });
    let refuses = Service::start(Router::new().route("/internal/totals", refuses)).await;
    let nonsense = Service::start(Router::new().route("/internal/totals", get(|| async { "nonsense" }))).await;
    let silent = get(std::future::pending::<()>);
    let silent = Service::start(Router::new().route("/internal/totals", silent)).await;
    edges[1] = Some(Client::new(format!("http://{nobody}")));
    edges[2] = Some(Client::new(refuses.url()));
    edges[3] = Some(Client::new(nonsense.url()));
    edges[4] = Some(Client::new(silent.url()));
    edges[6] = None;

    let said = audit(edges).await;
    assert_eq!(
        unreachable(&said),
        [
            "orders: no answer",
            "payments: it answered 503 Service Unavailable",
            "inventory: its answer is no JSON",
            "shipping: no answer within 3s",
            "bank-south: it is not part of this system",
        ]
    );
    for name in ["orders", "payments", "inventory", "shipping", "bank-south"] {
        assert_eq!(
            said.body["totals"].get(name),
            Some(&Value::Null),
            "{name}: unknown is not zero"
        );
    }
    assert_eq!(
        said.body["totals"]["bank-north"],
        json!({"of": "bank-north"}),
        "the others are shown all the same"
    );
}

#[tokio::test]
async fn only_an_administrator_may_ask() {
    let service = Service::start(service(edges(&others().await))).await;
    assert_eq!(service.get("alice", "/api/admin/audit").await.status, 403);
    assert_eq!(service.get("", "/api/admin/audit").await.status, 401);
}
