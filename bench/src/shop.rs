//! A customer of the shop, and its administrator, over the public API.

use crate::http::{Answer, Ask, Client};
use crate::system::eventually;
use anyhow::{Context, bail};
use http::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Longer than the shop's slowest promise: `wait` + 12 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Customer {
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) token: String,
}

impl Customer {
    /// Registers, signs in and fills the wallet.
    pub(crate) async fn join(client: &Client, name: &str, deposit: i64) -> anyhow::Result<Self> {
        let email = format!("{name}@load.example");
        let (password, key) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let body = json!({ "email": email, "name": name, "password": password });
        let made = client.ask(Ask::post("/api/users", body).key(&key), PATIENCE).await?;
        expect(&made, StatusCode::CREATED, "registering")?;
        let token = sign_in(client, &email, &password).await?;
        let customer = Self { email, password, token };
        let key = uuid::Uuid::new_v4().to_string();
        let deposit = Ask::post("/api/wallet/deposits", json!({ "amount": deposit }));
        let deposit = deposit.token(&customer.token).key(&key);
        eventually("filling the wallet", PATIENCE, || async {
            let filled = client.ask(deposit.clone(), PATIENCE).await?;
            expect(&filled, StatusCode::CREATED, "filling the wallet").map(Some)
        })
        .await?;
        Ok(customer)
    }

    /// The administrator, from the file that the users service wrote.
    pub(crate) async fn admin(client: &Client, state: &Path) -> anyhow::Result<Self> {
        let path = state.join("data/users/first-accounts.json");
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let accounts: Value = serde_json::from_slice(&text)?;
        let email = "admin@shop.example".to_owned();
        let password =
            find_password(&accounts, &email).with_context(|| format!("{} names no admin", path.display()))?;
        let token = sign_in(client, &email, &password).await?;
        Ok(Self { email, password, token })
    }

    /// Signs in again: tokens last an hour.
    pub(crate) async fn renew(&mut self, client: &Client) -> anyhow::Result<()> {
        self.token = sign_in(client, &self.email, &self.password).await?;
        Ok(())
    }
}

/// Finds the account's password whether the file is a map or a list.
fn find_password(accounts: &Value, email: &str) -> Option<String> {
    match accounts {
        Value::Object(map) => match map.get(email) {
            Some(Value::String(password)) => Some(password.clone()),
            Some(Value::Object(account)) => account.get("password")?.as_str().map(Into::into),
            _ if map.get("email").and_then(Value::as_str) == Some(email) => {
                map.get("password")?.as_str().map(Into::into)
            }
            _ => map.values().find_map(|value| find_password(value, email)),
        },
        Value::Array(list) => list.iter().find_map(|value| find_password(value, email)),
        _ => None,
    }
}

async fn sign_in(client: &Client, email: &str, password: &str) -> anyhow::Result<String> {
    let body = json!({ "email": email, "password": password });
    let answer = client.ask(Ask::post("/api/sessions", body), PATIENCE).await?;
    expect(&answer, StatusCode::OK, "signing in")?;
    answer.body["token"]
        .as_str()
        .map(Into::into)
        .context("a session without a token")
}

pub(crate) fn expect(answer: &Answer, status: StatusCode, what: &str) -> anyhow::Result<()> {
    if answer.status != status {
        bail!("{what}: {} {}", answer.status, answer.body);
    }
    Ok(())
}

/// What placing an order came to, as far as the customer knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Placed {
    /// 201.
    Confirmed(String),
    /// 202: exists, not settled.
    Pending(String),
    /// 409 with a business reason.
    Cancelled(String),
    /// 503, 429: try again with the same key.
    Again(String),
    /// No answer: unknown; try again with the same key.
    Unknown(String),
    /// Anything else: a defect.
    Wrong(String),
}

/// Places an order with this key; the same key again joins it.
pub(crate) async fn place(client: &Client, token: &str, key: &str, items: &Value) -> Placed {
    let ask = Ask::post("/api/orders", json!({ "items": items }))
        .token(token)
        .key(key);
    let answer = match client.ask(ask, PATIENCE).await {
        Ok(answer) => answer,
        Err(error) => return Placed::Unknown(format!("{error:#}")),
    };
    let id = || answer.body["id"].as_str().unwrap_or_default().to_owned();
    let reason = answer.body["reason"].as_str().unwrap_or_default();
    match answer.status.as_u16() {
        201 => Placed::Confirmed(id()),
        202 => Placed::Pending(id()),
        409 if ["insufficient_funds", "out_of_stock", "unknown_product"].contains(&reason) => Placed::Cancelled(id()),
        503 | 429 => Placed::Again(answer.body.to_string()),
        // An instance died with the request: the gateway may not repeat it, the customer may.
        502 | 504 => Placed::Unknown(answer.body.to_string()),
        status => Placed::Wrong(format!("{status} {}", answer.body)),
    }
}
