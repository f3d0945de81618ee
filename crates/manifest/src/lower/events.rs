//! `events:` and `outbox:` of every service → who publishes what, and what is delivered to whom.

use crate::doc::events::SubscribeDoc;
use crate::load::{Loaded, Service};
use crate::source::At;
use crate::value::Millis;
use crate::value_event::{AnyOf, Begin};
use ondol_core::id::ServiceName;
use ondol_events::config::PublishedType;
use ondol_events::relay::config::Outbox;
use ondol_events::subscription::{self, Subscription, SubscriptionName};
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) fn published(service: &Service) -> impl Iterator<Item = PublishedType> {
    service.doc.events.publishes.iter().map(|doc| {
        let kind = doc.0.r#type.value.0.clone();
        PublishedType {
            schema: service.schemas.get(&kind).cloned(),
            publisher: service.name.clone(),
            kind,
        }
    })
}

/// A pattern stands for the declared types that fit it, and for no other: a type that nobody declares is an owner's
/// private affair, however it is called.
pub(super) fn subscriptions(service: &Service, published: &[PublishedType]) -> impl Iterator<Item = Subscription> {
    let docs = service.doc.events.subscribes.iter();
    docs.map(|doc| {
        let fits = |kind: &str| doc.types.value.iter().any(|pattern| pattern.value.fits(kind));
        let declared = published.iter().map(|one| &one.kind).filter(|kind| fits(kind));
        subscription(&service.name, doc, declared.collect())
    })
}

impl Loaded {
    /// A service that cannot run here writes nothing either.
    pub(super) fn outbox(&self, service: &Service) -> Option<Outbox> {
        let relayed = service.doc.outbox.value && service.skipped.is_none();
        Some(Outbox {
            service: service.name.clone(),
            database: self.database(service).filter(|_| relayed)?,
        })
    }
}

fn subscription(service: &ServiceName, doc: &SubscribeDoc, types: BTreeSet<&String>) -> Subscription {
    let retry = &doc.retry;
    Subscription {
        name: SubscriptionName {
            service: service.clone(),
            name: doc.name.value.0.clone(),
        },
        types: types.into_iter().cloned().collect(),
        sources: texts(&doc.sources),
        extensions: doc
            .extensions
            .iter()
            .map(|(name, value)| (name.value.clone(), value.value.0.clone()))
            .collect(),
        push: doc.push.as_ref().map(|path| path.value.0.clone()),
        // The check has bounded it.
        parallel: u16::try_from(doc.parallel.value).unwrap_or(u16::MAX),
        timeout: span(doc.timeout.value),
        retry: subscription::Retry {
            attempts: retry.attempts.value,
            first: span(retry.first.value),
            cap: span(retry.cap.value),
        },
        from: match doc.from.value {
            Begin::Start => subscription::Begin::Start,
            Begin::Now => subscription::Begin::Now,
        },
    }
}

fn texts(patterns: &[At<AnyOf>]) -> Vec<String> {
    patterns.iter().map(|pattern| pattern.value.0.clone()).collect()
}

fn span(Millis(millis): Millis) -> Duration {
    Duration::from_millis(millis)
}
