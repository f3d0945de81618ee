//! Keys with rows, as people look at them: lists, one with its events, and which of them a redrive means.
//!
//! Read from the store, which is at most a tenth of a second behind, so that no list disturbs a loop.

use super::config::SubscriptionName;
use super::error::SubscriptionError;
use super::handle::Subscriptions;
use super::lane::Lane;
use super::phase::KeyState;
use super::pull::plain;
use super::record::{read_lane, row_key};
use super::request::Act;
use super::view::{EventRef, KeyDetails, KeyView, Queued, Redrive};
use ondol_core::engine::{Order, RowFilter, StoreError, StoredEvent, Table};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// Keys of one list, and events of one key that are shown.
const MAX_KEYS: u32 = 1_000;
const SHOWN: usize = 100;
/// Events a second where a redrive names no rate.
const RATE: f64 = 50.0;

/// Which parked keys are tried anew, and how fast.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RedriveRequest {
    /// Only these; `None`: all.
    pub keys: Option<Vec<String>>,
    /// Only those whose first event is of this type.
    pub kind: Option<String>,
    /// Events a second on average; `None`: 50.
    pub rate: Option<f64>,
    /// Says only what it would reach.
    pub dry_run: bool,
}

impl Subscriptions {
    /// Keys that wait, by name after `after`, at most `limit` (at most 1,000).
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], [`SubscriptionError::Invalid`] or the store's.
    pub async fn keys(
        &self,
        name: &SubscriptionName,
        state: Option<KeyState>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<KeyView>, SubscriptionError> {
        self.check(name)?;
        if state.is_some_and(|state| !state.has_row()) {
            let (what, rule) = ("state", "one of parked, retrying and delayed");
            return Err(SubscriptionError::Invalid { what, rule });
        }
        let mut after = after.map(str::to_owned);
        let mut lanes = Vec::new();
        // Rows that are finished are passed over, so a page may need several reads; each brings it on.
        while lanes.len() < limit.clamp(1, MAX_KEYS) as usize {
            let left = limit.clamp(1, MAX_KEYS) - u32::try_from(lanes.len()).unwrap_or(MAX_KEYS);
            let page = self.page(name, state, after.as_deref(), left).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.to_string());
            lanes.extend(page.into_iter().filter(|(_, lane)| lane.state.has_row()));
        }
        let firsts: Vec<u64> = lanes
            .iter()
            .filter_map(|(_, lane)| lane.queue.front().copied())
            .collect();
        let firsts = self.shared.source.each_at(firsts, |stored| reference(&stored)).await?;
        let firsts: HashMap<u64, EventRef> = firsts.into_iter().map(|first| (first.position, first)).collect();
        let first = |lane: &Lane| lane.queue.front().and_then(|first| firsts.get(first)).cloned();
        Ok(lanes.iter().map(|(key, lane)| view(key, lane, first(lane))).collect())
    }

    /// One key with its first events.
    ///
    /// # Errors
    /// As [`Subscriptions::keys`], and when the key has no row.
    pub async fn key(&self, name: &SubscriptionName, key: &str) -> Result<KeyDetails, SubscriptionError> {
        self.check(name)?;
        let row = self
            .shared
            .ports
            .engine
            .row(Table::Delivery, row_key(&name.to_string(), key))
            .await?;
        let lane = row.as_ref().map(read_lane).transpose()?;
        let Some((key, lane)) = lane.filter(|(_, lane)| lane.state.has_row()) else {
            return Err(super::operate::Refused::NoKey(key.to_owned()).into());
        };
        let shown: Vec<u64> = lane.queue.iter().copied().take(SHOWN).collect();
        // Positions rise along a queue, so where not all fit into one page, the first do.
        let events = match shown.is_empty() {
            true => Vec::new(),
            false => self.shared.source.at(shown.clone()).await?,
        };
        let events: HashMap<u64, StoredEvent> = events.into_iter().map(|stored| (stored.position, stored)).collect();
        let torn = |error: serde_json::Error| StoreError::Broken(format!("an event of key {key}: {error}"));
        let queued = shown
            .iter()
            .filter_map(|position| Some((position, events.get(position)?)));
        let queue = queued.map(|(position, stored)| {
            let edited = lane
                .edits
                .get(position)
                .map(|data| RawValue::from_string(data.to_string()));
            Ok(Queued {
                position: *position,
                event: plain(stored).map_err(torn)?,
                edited: edited.transpose().map_err(torn)?,
            })
        });
        let queue = queue.collect::<Result<_, StoreError>>()?;
        let first = shown.first().and_then(|first| events.get(first)).map(reference);
        Ok(KeyDetails {
            view: view(&key, &lane, first),
            queue,
        })
    }

    /// Tries parked keys anew; the events of a key stay in their order. Audited unless it is a dry run.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], [`SubscriptionError::Invalid`] or the store's.
    pub async fn redrive(
        &self,
        name: &SubscriptionName,
        request: RedriveRequest,
        act: Act,
    ) -> Result<Redrive, SubscriptionError> {
        let rate = request.rate.unwrap_or(RATE);
        if !rate.is_finite() || rate <= 0.0 {
            let (what, rule) = ("rate", "events a second, more than 0");
            return Err(SubscriptionError::Invalid { what, rule });
        }
        let named = request
            .keys
            .map(|keys| keys.into_iter().map(Arc::from).collect::<Vec<Arc<str>>>());
        let keys = match &request.kind {
            None => named,
            Some(kind) => {
                let of_kind = self.parked_by(name, kind).await?;
                Some(
                    of_kind
                        .into_iter()
                        .filter(|key| named.as_ref().is_none_or(|named| named.contains(key)))
                        .collect(),
                )
            }
        };
        self.redrive_keys(name, keys, rate, request.dry_run, act).await
    }

    /// Parked keys whose first event is of this type.
    async fn parked_by(&self, name: &SubscriptionName, kind: &str) -> Result<Vec<Arc<str>>, SubscriptionError> {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self
                .keys(name, Some(KeyState::Parked), after.as_deref(), MAX_KEYS)
                .await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.key.to_string());
            let of_kind = page
                .iter()
                .filter(|one| one.first.as_ref().is_some_and(|first| first.kind == kind));
            found.extend(of_kind.map(|one| one.key.clone()));
        }
    }

    async fn page(
        &self,
        name: &SubscriptionName,
        state: Option<KeyState>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(Arc<str>, Lane)>, StoreError> {
        let name = name.to_string();
        let after = after.map(|key| row_key(&name, key));
        let state = state.map(|state| state.as_str().to_owned());
        let filter = RowFilter {
            name: Some(name),
            state,
            ..RowFilter::default()
        };
        let rows = self
            .shared
            .ports
            .engine
            .rows(Table::Delivery, filter, Order::Ascending, after, limit)
            .await?;
        rows.iter().map(read_lane).collect()
    }
}

fn reference(stored: &StoredEvent) -> EventRef {
    EventRef {
        position: stored.position,
        id: stored.event.id.clone(),
        kind: stored.event.kind.clone(),
    }
}

fn view(key: &Arc<str>, lane: &Lane, first: Option<EventRef>) -> KeyView {
    KeyView {
        key: key.clone(),
        state: lane.state,
        since: lane.since,
        wake_at: lane.wake_at,
        attempts: lane.attempts,
        error: lane.error.clone(),
        events: lane.queue.len(),
        first,
    }
}
