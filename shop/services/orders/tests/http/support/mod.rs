//! What orders needs around it, small and with the same rules: an event log, and a products service.

mod log_server;

pub use log_server::LogServer;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use shop_kit::testing::{Said, Service};
use shop_kit::{Client, Database};
use shop_orders::{model, service};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// Prices that a test may change; `None`: products is away.
pub type Prices = Arc<Mutex<Option<BTreeMap<&'static str, i64>>>>;

/// Orders with everything around it.
pub struct Shop {
    pub orders: Service,
    pub log: LogServer,
    pub prices: Prices,
    products: Service,
    folder: TempDir,
}

impl Shop {
    pub async fn open() -> Self {
        let prices: Prices = Arc::new(Mutex::new(Some(BTreeMap::from([("p01", 150), ("p02", 70)]))));
        let router = Router::new()
            .route("/internal/products", get(answer))
            .with_state(Arc::clone(&prices));
        let (products, log) = (Service::start(router).await, LogServer::start().await);
        let folder = tempfile::tempdir().unwrap();
        let orders = start(&log, &products, &folder, "orders").await;
        Self {
            orders,
            log,
            prices,
            products,
            folder,
        }
    }

    /// Another instance; with another file it has a read model of its own.
    pub async fn another(&self, file: &str) -> Service {
        start(&self.log, &self.products, &self.folder, file).await
    }

    pub async fn create(&self, id: &str, items: Value) -> Said {
        let body = json!({"customer": "alice", "items": items});
        self.orders
            .step(
                "PUT",
                &format!("/internal/orders/{id}"),
                &format!("{id}.create.action"),
                body,
            )
            .await
    }

    pub async fn cancel(&self, id: &str, items: Value, reason: &str) -> Said {
        let body = json!({"customer": "alice", "items": items, "reason": reason});
        let path = format!("/internal/orders/{id}/cancel");
        self.orders
            .step("POST", &path, &format!("{id}.create.compensate"), body)
            .await
    }

    pub async fn confirm(&self, id: &str) -> Said {
        let body = json!({"payment": "c1", "shipment": "s1"});
        let path = format!("/internal/orders/{id}/confirm");
        self.orders
            .step("POST", &path, &format!("{id}.confirm.action"), body)
            .await
    }

    pub async fn order(&self, id: &str) -> Said {
        self.orders.get("alice", &format!("/api/orders/{id}")).await
    }
}

async fn start(log: &LogServer, products: &Service, folder: &TempDir, file: &str) -> Service {
    let url = format!("sqlite://{}/{file}.db", folder.path().display());
    let database = Database::open(&url, &model::MIGRATIONS).await.unwrap();
    let log = Client::new(log.url()).with_bearer(log_server::TOKEN);
    Service::start(service(database, log, Client::new(products.url())).await.unwrap()).await
}

async fn answer(State(prices): State<Prices>, Query(query): Query<HashMap<String, String>>) -> Response {
    let Some(prices) = prices.lock().unwrap().clone() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let known =
        |id: &str| Some(json!({"id": id, "name": id.to_uppercase(), "price": prices.get(id)?, "currency": "EUR"}));
    Json(json!({"items": query["ids"].split(',').filter_map(known).collect::<Vec<_>>()})).into_response()
}

/// Two pieces of p01 and one of p02: 370.
pub fn basket() -> Value {
    json!([{"product_id": "p01", "quantity": 2}, {"product_id": "p02", "quantity": 1}])
}

/// Status and reason.
pub fn told(said: &Said) -> (u16, &str) {
    (said.status, said.body["reason"].as_str().unwrap_or("-"))
}
