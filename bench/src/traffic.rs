//! Customers at a steady rate: an open loop, so a slow answer does not hold back the next customer, and latency counts
//! from the moment at which the customer should have come (free of coordinated omission).

use crate::http::{Ask, Client};
use crate::laws::Acknowledged;
use crate::random::Random;
use crate::shop::{Customer, PATIENCE, Placed, place};
use hdrhistogram::Histogram;
use http::StatusCode;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What customers saw so far.
pub(crate) struct Tally {
    pub(crate) by_kind: BTreeMap<&'static str, u64>,
    pub(crate) latency: Histogram<u64>,
    pub(crate) acknowledged: Acknowledged,
    /// Answers that must not be, at most 20 of them.
    pub(crate) wrong: Vec<String>,
    pub(crate) wrong_count: u64,
}

impl Tally {
    fn new() -> Self {
        // From 1 µs to 2 minutes with three digits: these bounds are valid.
        let latency = Histogram::new_with_bounds(1, 120_000_000, 3).unwrap_or_else(|_| unreachable!());
        Self {
            by_kind: BTreeMap::new(),
            latency,
            acknowledged: BTreeMap::new(),
            wrong: Vec::new(),
            wrong_count: 0,
        }
    }

    fn count(&mut self, kind: &'static str) {
        *self.by_kind.entry(kind).or_default() += 1;
    }

    pub(crate) fn of(&self, kind: &str) -> u64 {
        self.by_kind.get(kind).copied().unwrap_or(0)
    }

    fn wrong(&mut self, what: String) {
        self.wrong_count += 1;
        if self.wrong.len() < 20 {
            self.wrong.push(what);
        }
    }
}

/// Traffic that goes on until it is stopped.
#[derive(Clone)]
pub(crate) struct Traffic {
    client: Client,
    customers: Arc<Vec<Customer>>,
    products: Arc<Vec<String>>,
    pub(crate) tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    pub(crate) under_way: Arc<AtomicU64>,
}

impl Traffic {
    /// Makes `customers` customers with full wallets.
    pub(crate) async fn prepare(client: Client, customers: usize) -> anyhow::Result<Self> {
        let page = client.ask(Ask::get("/api/products?limit=50"), PATIENCE).await?;
        let items = page.body["items"].as_array().cloned().unwrap_or_default();
        let products = items
            .iter()
            .filter_map(|item| item["id"].as_str().map(Into::into))
            .collect();
        let run = uuid::Uuid::new_v4().simple().to_string();
        let mut made = Vec::new();
        for n in 0..customers {
            made.push(Customer::join(&client, &format!("c{n}-{}", &run[..8]), 100_000_000).await?);
        }
        Ok(Self {
            client,
            customers: Arc::new(made),
            products: Arc::new(products),
            tally: Arc::new(Mutex::new(Tally::new())),
            stop: Arc::default(),
            under_way: Arc::default(),
        })
    }

    /// Sends `rate` customers a second until [`Traffic::end`]. One in ten transfers money, the rest order.
    pub(crate) async fn flow(&self, rate: f64, seed: u64) {
        let (began, mut random, mut n) = (Instant::now(), Random::new(seed), 0u64);
        while !self.stop.load(Ordering::Relaxed) {
            let due = began + Duration::from_secs_f64(n as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
            n += 1;
            let (traffic, choice) = (self.clone(), random.next());
            self.under_way.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                if choice % 10 == 0 {
                    traffic.transfer(choice / 10, due).await
                } else {
                    traffic.order(choice / 10, due).await
                }
                traffic.under_way.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// Sends nobody any more and waits for those under way.
    pub(crate) async fn end(&self, patience: Duration) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let end = Instant::now() + patience;
        while self.under_way.load(Ordering::Relaxed) > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.under_way.load(Ordering::Relaxed)
    }

    fn customer(&self, choice: u64) -> Customer {
        self.customers[(choice % self.customers.len().max(1) as u64) as usize].clone()
    }

    /// An order; some are for more than there is, or for a product that does not exist. Tried again with the same key
    /// until there is an answer.
    async fn order(&self, choice: u64, due: Instant) {
        let customer = self.customer(choice);
        let mut random = Random::new(choice);
        let product = random.pick(&self.products).cloned().unwrap_or_default();
        let line = |product: &str, quantity: u64| json!({ "product_id": product, "quantity": quantity });
        let items = match random.below(25) {
            0 => json!([line("no-such-product", 1)]),
            // More than was ever there, so the payment is given back.
            1 => json!([line(&product, 1_000), line(&product, 1_000)]),
            _ => json!([line(&product, 1 + random.below(2))]),
        };
        let key = uuid::Uuid::new_v4().to_string();
        let end = due + Duration::from_secs(120);
        loop {
            let placed = place(&self.client, &customer.token, &key, &items).await;
            if self.note(placed, &customer, due) {
                return;
            }
            if Instant::now() > end {
                return self.locked().wrong("an order without an answer for two minutes".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an outcome; true when the customer has an answer.
    fn note(&self, placed: Placed, customer: &Customer, due: Instant) -> bool {
        let mut tally = self.locked();
        let kind = match placed {
            Placed::Again(_) => "again",
            Placed::Unknown(_) => "unknown",
            Placed::Wrong(what) => {
                tally.wrong(format!("order: {what}"));
                return true;
            }
            Placed::Confirmed(id) => {
                tally.acknowledged.insert(id, customer.clone());
                "confirmed"
            }
            Placed::Pending(id) => {
                tally.acknowledged.insert(id, customer.clone());
                "pending"
            }
            Placed::Cancelled(_) => "cancelled",
        };
        tally.count(kind);
        let answered = !matches!(kind, "again" | "unknown");
        if answered {
            tally.latency.saturating_record(due.elapsed().as_micros() as u64);
        }
        answered
    }

    async fn transfer(&self, choice: u64, due: Instant) {
        let customer = self.customer(choice);
        let mut random = Random::new(choice);
        let bank = if random.below(2) == 0 { "north" } else { "south" };
        let account = |random: &mut Random| format!("a{:03}", 1 + random.below(200));
        let to = if random.below(20) == 0 {
            "nobody".to_owned()
        } else {
            account(&mut random)
        };
        let amount = 1 + random.below(2_000);
        let body = json!({ "from": account(&mut random), "to": to, "amount": amount });
        let (key, path) = (uuid::Uuid::new_v4().to_string(), format!("/api/banks/{bank}/transfers"));
        let end = due + Duration::from_secs(120);
        while Instant::now() < end {
            let ask = Ask::post(&path, body.clone()).token(&customer.token).key(&key);
            let answer = self.client.ask(ask, PATIENCE).await;
            if self.note_transfer(answer) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.locked()
            .wrong("a transfer without an answer for two minutes".into());
    }

    /// Counts an outcome; true when the customer has an answer.
    fn note_transfer(&self, answer: anyhow::Result<crate::http::Answer>) -> bool {
        let mut tally = self.locked();
        match answer.map(|answer| (answer.status, answer.body)) {
            Ok((StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::CONFLICT, _)) => tally.count("transfers"),
            Ok((StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, _)) => {
                tally.count("again");
                return false;
            }
            Ok((StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, _)) | Err(_) => {
                tally.count("unknown");
                return false;
            }
            Ok((status, body)) => tally.wrong(format!("transfer: {status} {body}")),
        }
        true
    }
}

/// One line of figures.
pub(crate) fn line(tally: &Tally, under_way: u64) -> String {
    let ms = |q: f64| tally.latency.value_at_quantile(q) as f64 / 1e3;
    format!(
        "{:>7} confirmed {:>6} cancelled {:>5} pending {:>6} transfers {:>5} again {:>5} unknown {:>3} wrong   p50 {:>7.1} ms  p99 {:>7.1} ms   {under_way} under way",
        tally.of("confirmed"),
        tally.of("cancelled"),
        tally.of("pending"),
        tally.of("transfers"),
        tally.of("again"),
        tally.of("unknown"),
        tally.wrong_count,
        ms(0.5),
        ms(0.99),
    )
}
