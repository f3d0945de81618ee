//! What a run was told beside its orders, so that it can be asked for at the end: numbers of the witness, and uploads.
//!
//! Nothing is tried again here. An answer that did not come says nothing: what it would have said may or may not be there.

use crate::http::{Ask, Client};
use crate::random::Random;
use crate::shop::{Customer, PATIENCE};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Keys of the witness. Few, so that each has many numbers.
const KEYS: u64 = 8;
/// Claims a second: one upload, the rest are the witness's.
const RATE: u64 = 20;

/// What was acknowledged.
#[derive(Default)]
pub(crate) struct Told {
    /// The highest number of each of the witness's keys.
    pub(crate) numbers: BTreeMap<String, i64>,
    /// Transactions that the witness rolled back.
    pub(crate) rolled_back: u64,
    /// Names of files; [`content`] says what is in them.
    pub(crate) uploads: Vec<String>,
}

/// Claims that go on being made until the end.
#[derive(Clone, Default)]
pub(crate) struct Claims {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
}

/// What was put under a name: some ten kilobytes that no other name has.
pub(crate) fn content(name: &str) -> Value {
    json!({ "name": name, "filler": name.repeat(1_000) })
}

impl Claims {
    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes claims, one after the other, until [`Claims::end`]. `uploads`: there is a service that takes files.
    pub(crate) async fn flow(&self, client: &Client, customer: &Customer, uploads: bool, seed: u64) {
        let mut random = Random::new(seed);
        for n in 0u64.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            if uploads && n % RATE == 0 {
                self.upload(client, customer, &format!("claim-{n}.json")).await;
            } else {
                self.write(client, random.below(KEYS)).await;
            }
            tokio::time::sleep(Duration::from_millis(1_000 / RATE)).await;
        }
    }

    /// Makes no more.
    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    async fn write(&self, client: &Client, key: u64) {
        let (key, path) = (format!("k{key}"), format!("/witness/k{key}"));
        let Ok(answer) = client.ask(Ask::post(&path, Value::Null), PATIENCE).await else {
            return;
        };
        let mut told = self.told();
        if let Some(n) = answer.body["written"].as_i64() {
            let highest = told.numbers.entry(key).or_default();
            *highest = n.max(*highest);
        } else if answer.body["rolled_back"].is_i64() {
            told.rolled_back += 1;
        }
    }

    async fn upload(&self, client: &Client, customer: &Customer, name: &str) {
        let path = format!("/api/media/{name}");
        let ask = Ask::put(&path, content(name)).token(&customer.token);
        let answer = client.ask(ask, PATIENCE).await;
        if answer.is_ok_and(|answer| [StatusCode::CREATED, StatusCode::OK].contains(&answer.status)) {
            self.told().uploads.push(name.to_owned());
        }
    }
}
