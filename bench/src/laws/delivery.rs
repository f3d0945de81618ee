//! What events promise, from the admin API: every one is delivered, nothing is parked, and none exists without its cause.

use super::{Broken, REST, number};
use crate::system::{System, eventually};
use anyhow::{Context, bail};
use serde_json::Value;

/// Waits until every subscription has passed the log's end and every outbox is empty; then nothing may be parked or stand still.
pub(super) async fn at_rest(system: &System) -> anyhow::Result<Broken> {
    let (subscriptions, outboxes) = eventually("every event is delivered", REST, || async {
        let (subscriptions, outboxes) = look(system)?;
        if let Some(one) = subscriptions.iter().find(|one| !is_through(one)) {
            bail!("{one}");
        }
        if let Some(one) = outboxes.iter().find(|one| one["pending"] != 0 && one["poisoned"] == 0) {
            bail!("{one}");
        }
        Ok(Some((subscriptions, outboxes)))
    })
    .await?;
    let mut broken = Broken::default();
    for one in &subscriptions {
        if one["parked_keys"] != 0 || one["state"] != "running" {
            broken.0.push(format!("delivery: parked or not running: {one}"));
        }
    }
    for one in &outboxes {
        if one["poisoned"] != 0 || one["state"] != "running" {
            broken.0.push(format!("delivery: poisoned or not running: {one}"));
        }
    }
    Ok(broken)
}

fn is_through(subscription: &Value) -> bool {
    ["lag", "in_flight", "retrying_keys"]
        .iter()
        .all(|what| subscription[what] == 0)
}

fn look(system: &System) -> anyhow::Result<(Vec<Value>, Vec<Value>)> {
    let all = |what: &str| -> anyhow::Result<Vec<Value>> {
        let answer = system.json(&["events", what])?;
        answer[what]
            .as_array()
            .cloned()
            .with_context(|| format!("no {what} in the answer"))
    };
    Ok((all("subscriptions")?, all("outboxes")?))
}

/// For every cause there is one event, and none without a cause: a transaction that was rolled back says nothing. Ids are made of
/// what they tell of, so equal counts are the same set.
pub(super) fn causes(system: &System, audit: &Value) -> anyhow::Result<Broken> {
    let topics = system.json(&["events", "list"])?;
    let topics = topics["topics"]
        .as_array()
        .context("`ondol events list` names no topics")?;
    let events = |kind: &str| {
        let topic = topics.iter().find(|topic| topic["type"] == kind);
        topic.and_then(|topic| topic["events"].as_i64()).unwrap_or(0)
    };
    let mut broken = Broken::default();
    for (kind, cause) in [
        ("order.confirmed.v1", "/totals/orders/confirmed"),
        ("order.cancelled.v1", "/totals/orders/cancelled"),
        ("wallet.charged.v1", "/totals/payments/charges/count"),
        ("wallet.refunded.v1", "/totals/payments/refunds/count"),
        ("user.registered.v1", "/totals/users/users"),
    ] {
        broken.equal("outbox", (kind, events(kind)), (cause, number(audit, cause)?));
    }
    Ok(broken)
}
