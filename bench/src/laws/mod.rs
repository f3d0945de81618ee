//! What must hold, whatever is killed: the six laws of `shop.md`, and what events promise.
//!
//! - `books.rs`: sums of the audit that must agree
//! - `delivery.rs`: every subscription at its end with nothing parked, every outbox empty, as many events as their causes
//! - here: that everything ends, that what was acknowledged is there, and who cannot be judged because it is not here

mod books;
mod delivery;

use crate::claims::{Told, content};
use crate::http::{Answer, Ask, Client};
use crate::shop::{Customer, PATIENCE, expect};
use crate::system::{KEEPERS, System, eventually};
use anyhow::{Context, bail};
use http::StatusCode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Until everything that was begun has ended, and every event is delivered.
const REST: Duration = Duration::from_secs(180);

/// Orders that customers were told of: id → who asked.
pub(crate) type Acknowledged = BTreeMap<String, Customer>;

/// Laws that do not hold, in words.
#[derive(Default)]
pub(crate) struct Broken(pub(crate) Vec<String>);

impl Broken {
    fn equal(&mut self, law: &str, left: (&str, i64), right: (&str, i64)) {
        if left.1 != right.1 {
            self.0.push(format!(
                "{law}: {} is {}, but {} is {}",
                left.0, left.1, right.0, right.1
            ));
        }
    }

    fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

/// Which laws are broken, and what was judged.
#[derive(Default)]
pub(crate) struct Judgement {
    pub(crate) broken: Vec<String>,
    pub(crate) summary: String,
    /// Services that are not here, each with why: their laws were not judged.
    pub(crate) skipped: Vec<(String, String)>,
}

/// The one who judges, once nobody orders any more.
pub(crate) struct Judge<'a> {
    pub(crate) client: &'a Client,
    pub(crate) admin: &'a Customer,
}

impl Judge<'_> {
    /// The laws of the checkout, in a shop that may be anybody's.
    pub(crate) async fn checkout(&self, acknowledged: &Acknowledged) -> anyhow::Result<Judgement> {
        let mut broken = self.rest(&KEEPERS).await;
        let audit = self.audit(&KEEPERS).await?;
        broken.add(books::checkout(&audit)?);
        broken.add(self.orders_exist(acknowledged).await?);
        Ok(Judgement {
            broken: broken.0,
            summary: summary(&audit, acknowledged),
            ..Judgement::default()
        })
    }

    /// All laws, in a system of one's own with its witness.
    pub(crate) async fn everything(
        &self,
        system: &System,
        acknowledged: &Acknowledged,
        told: &Told,
    ) -> anyhow::Result<Judgement> {
        let skipped = skipped(system)?;
        let missing: Vec<_> = skipped.iter().map(|(name, _)| name.as_str()).collect();
        let is_here = |name: &str| !missing.contains(&name);
        let mut broken = self.rest(&missing).await;
        let delivered = delivery::at_rest(system).await;
        broken.add(delivered.unwrap_or_else(|error| Broken(vec![format!("delivery: {error:#}")])));
        if is_here("carriers") {
            // They are asked beside the orders and are slower than these; the law itself is judged below.
            let answered = || async { Ok(books::parcels(&self.audit(&missing).await?)?.0.is_empty().then_some(())) };
            drop(eventually("every parcel has an answer", REST, answered).await);
        }
        let audit = self.audit(&missing).await?;
        broken.add(books::checkout(&audit)?);
        for (name, law) in [
            ("points", books::points as fn(&Value) -> anyhow::Result<Broken>),
            ("notifications", books::mails),
            ("carriers", books::parcels),
        ] {
            if is_here(name) {
                broken.add(law(&audit)?);
            }
        }
        broken.add(delivery::causes(system, &audit)?);
        broken.add(self.witness(told).await?);
        broken.add(self.orders_exist(acknowledged).await?);
        broken.add(self.uploads_exist(told).await?);
        Ok(Judgement {
            broken: broken.0,
            summary: format!("{}; {}", summary(&audit, acknowledged), beside(&audit, told)),
            skipped,
        })
    }

    /// The answer to a question that changes nothing. It is asked again while a service is only just coming back.
    async fn read(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let what = format!("an answer to GET {}", ask.path);
        eventually(&what, REST, || async {
            let answer = self.client.ask(ask.clone(), PATIENCE).await?;
            if answer.status.is_server_error() {
                bail!("{} {}", answer.status, answer.body);
            }
            Ok(Some(answer))
        })
        .await
    }

    /// Waits until nothing is under way.
    async fn rest(&self, missing: &[&str]) -> Broken {
        let ended = eventually("every order and transfer ends", REST, || self.ended(missing)).await;
        Broken(
            ended
                .err()
                .map(|error| format!("law 6: {error:#}"))
                .into_iter()
                .collect(),
        )
    }

    /// An error while something is under way.
    async fn ended(&self, missing: &[&str]) -> anyhow::Result<Option<()>> {
        let audit = self.audit(missing).await?;
        let n = |path: &str| number(&audit, path);
        let pending = n("/totals/orders/pending")? + n("/totals/inventory/reservations/held")?;
        let transfers =
            n("/totals/bank-north/transfers/pending/count")? + n("/totals/bank-south/transfers/pending/count")?;
        if pending + transfers > 0 {
            bail!("{pending} orders and reservations, {transfers} transfers are under way");
        }
        Ok(Some(()))
    }

    /// What every service says of itself. Only those that are not here may be missing in it.
    async fn audit(&self, missing: &[&str]) -> anyhow::Result<Value> {
        let ask = Ask::get("/api/admin/audit").token(&self.admin.token);
        let answer = self.read(ask).await?;
        expect(&answer, StatusCode::OK, "the audit")?;
        let unreachable = answer.body["unreachable"].as_array().into_iter().flatten();
        let is_missing = |one: &&Value| !one["service"].as_str().is_some_and(|name| missing.contains(&name));
        if let Some(one) = unreachable.clone().find(is_missing) {
            bail!("the audit could not reach {one}");
        }
        Ok(answer.body)
    }

    /// Per key every number was heard, in its order, once; none that was rolled back; and none is lost that was acknowledged.
    async fn witness(&self, told: &Told) -> anyhow::Result<Broken> {
        let answer = self.read(Ask::get("/witness")).await?;
        expect(&answer, StatusCode::OK, "the witness")?;
        let faults = answer.body["faults"].as_array().into_iter().flatten();
        let mut broken = Broken(faults.map(|fault| format!("order: {fault}")).collect());
        let written = answer.body["written"]
            .as_object()
            .context("the witness wrote nothing")?;
        for (key, n) in written {
            let (n, heard) = (n.as_i64().unwrap_or(0), answer.body["heard"][key].as_i64().unwrap_or(0));
            broken.equal("order", (&format!("heard of {key}"), heard), ("what was written", n));
            let acknowledged = told.numbers.get(key).copied().unwrap_or(0);
            if acknowledged > n {
                broken.0.push(format!(
                    "law 5: {acknowledged} of {key} was acknowledged, {n} is the last there"
                ));
            }
        }
        Ok(broken)
    }

    /// What was put is there, whole.
    async fn uploads_exist(&self, told: &Told) -> anyhow::Result<Broken> {
        let mut broken = Broken::default();
        for name in &told.uploads {
            let path = format!("/api/media/{name}");
            let answer = self.read(Ask::get(&path)).await?;
            if answer.status != StatusCode::OK || answer.body != content(name) {
                broken.0.push(format!(
                    "law 5: the acknowledged upload {name} is {}, or not as it was put",
                    answer.status
                ));
            }
        }
        Ok(broken)
    }

    /// Laws 5 and 6, order by order.
    async fn orders_exist(&self, acknowledged: &Acknowledged) -> anyhow::Result<Broken> {
        let mut broken = Broken::default();
        let mut customers: BTreeMap<String, Customer> = BTreeMap::new();
        for (id, customer) in acknowledged {
            if !customers.contains_key(&customer.email) {
                let fresh = eventually("signing in again", REST, || async {
                    let mut fresh = customer.clone();
                    fresh.renew(self.client).await?;
                    Ok(Some(fresh))
                })
                .await?;
                customers.insert(customer.email.clone(), fresh);
            }
            let token = customers
                .get(&customer.email)
                .map(|customer| customer.token.as_str())
                .unwrap_or_default();
            let path = format!("/api/orders/{id}");
            let answer = self.read(Ask::get(&path).token(token)).await?;
            let status = answer.body["status"].as_str().unwrap_or_default();
            if answer.status == StatusCode::NOT_FOUND {
                broken
                    .0
                    .push(format!("law 5: the acknowledged order {id} is not there"));
            } else if !["confirmed", "cancelled"].contains(&status) {
                broken
                    .0
                    .push(format!("law 6: order {id} is {} {status:?}", answer.status));
            }
        }
        Ok(broken)
    }
}

fn number(audit: &Value, path: &str) -> anyhow::Result<i64> {
    audit
        .pointer(path)
        .and_then(Value::as_i64)
        .with_context(|| format!("the audit has no {path}"))
}

/// Whether a service that needs more than Rust runs here.
pub(crate) fn is_here(system: &System, name: &str) -> anyhow::Result<bool> {
    Ok(skipped(system)?.iter().all(|(missing, _)| missing != name))
}

/// Which of the services that need more than Rust are not here, and why.
fn skipped(system: &System) -> anyhow::Result<Vec<(String, String)>> {
    let status = system.json(&["status"])?;
    let services = status["services"]
        .as_array()
        .context("`ondol status` names no services")?;
    let find = |name: &str| services.iter().find(|one| one["service"] == name);
    let why = |name: &&str| match find(name) {
        Some(one) if one["state"] != "skipped" => None,
        Some(one) => Some(one["reason"].as_str().unwrap_or("skipped").to_owned()),
        None => Some("not part of the system".to_owned()),
    };
    Ok(KEEPERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), why(name)?)))
        .collect())
}

fn summary(audit: &Value, acknowledged: &Acknowledged) -> String {
    let n = |path: &str| number(audit, path).unwrap_or(-1);
    format!(
        "{} confirmed, {} cancelled, {} charges, {} refunds, {} shipments, {} acknowledged",
        n("/totals/orders/confirmed"),
        n("/totals/orders/cancelled"),
        n("/totals/payments/charges/count"),
        n("/totals/payments/refunds/count"),
        n("/totals/shipping/shipments"),
        acknowledged.len()
    )
}

/// What was judged beside the orders; what is not here is `?`.
fn beside(audit: &Value, told: &Told) -> String {
    let n = |path: &str| number(audit, path).map_or("?".to_owned(), |n| n.to_string());
    format!(
        "points for {} orders, mails of {} confirmed, {} promised parcels, {} numbers of the witness with {} rolled back, {} uploads",
        n("/totals/points/orders"),
        n("/totals/notifications/mails/order.confirmed.v1"),
        n("/totals/shipping/deliveries/promised"),
        told.numbers.values().sum::<i64>(),
        told.rolled_back,
        told.uploads.len(),
    )
}
