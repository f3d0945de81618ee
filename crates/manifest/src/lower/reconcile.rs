//! One reconciliation file → what `ondol-events` runs.

use crate::doc::reconcile::{Expected, RuleDoc, SagasDoc, target};
use crate::load::Reconcile;
use crate::read::Named;
use crate::value::{Raw, Short};
use ondol_events::reconcile::config::{Condition, Reconciliation, Repair, Rule, Source, Wanted};
use serde_json::json;
use std::time::Duration;

/// What is compared. Sources that a check refuses are left out.
pub(super) fn reconciliation(file: &Reconcile) -> Reconciliation {
    let doc = &file.doc;
    let sources = doc
        .sources
        .iter()
        .filter_map(|(name, doc)| Some((name.value.clone(), source(doc)?)));
    Reconciliation {
        name: doc.reconcile.value.0.clone(),
        service: file.owner.clone(),
        about: doc.about.as_ref().map(|about| about.value.clone()),
        every: Duration::from_millis(doc.every.value.0),
        settle: Duration::from_millis(doc.settle.value.0),
        sources: sources.collect(),
        rules: doc.rules.value.iter().map(rule).collect(),
    }
}

fn source(doc: &Short<Raw, SagasDoc>) -> Option<Source> {
    match doc {
        Short::Short(raw) => {
            let (service, path) = target(&raw.1, raw.0.at, None).ok()?;
            Some(Source::Path {
                service: service.value.parse().ok()?,
                path: path.value,
            })
        }
        Short::Long(doc) => Some(Source::Sagas(doc.sagas.value.clone())),
    }
}

fn rule(doc: &RuleDoc) -> Rule {
    Rule {
        when: conditions(&doc.when),
        expect: conditions(&doc.expect),
        repair: doc.repair.as_ref().map(|repair| Repair {
            saga: repair.saga.value.clone(),
            input: repair
                .input
                .as_ref()
                .map_or_else(|| json!({ "key": "{key}" }), |input| input.0.json()),
        }),
    }
}

fn conditions(named: &Named<Expected>) -> Vec<Condition> {
    let condition = |name: &str, expected: &Expected| match name.split_once('.') {
        Some((source, field)) => Condition {
            source: source.to_owned(),
            field: Some(field.to_owned()),
            wanted: Wanted::OneOf(expected.values.iter().map(|value| value.json()).collect()),
        },
        None => Condition {
            source: name.to_owned(),
            field: None,
            wanted: match expected.values.first().and_then(|value| value.text()) {
                Some("absent") => Wanted::Absent,
                _ => Wanted::Present,
            },
        },
    };
    named.iter().map(|(name, expected)| condition(name, expected)).collect()
}
