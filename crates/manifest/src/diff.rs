//! What two configurations do not share: the list that `ondol diff` shows and `ondol apply` shows again. Pure.
//!
//! Invariants
//! - Empty exactly when both run the same; a difference that has no value to show is told without one.
//! - A value that either side marks as secret is in no difference: that it changed is all that is said.

use crate::facts::{Entry, Fact, Facts, ROUTE_ORDER, Subject};
use crate::source::Place;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// It was not there.
    Add,
    /// It is another.
    Change,
    /// It is gone.
    Remove,
}

/// One key of a subject.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyChange {
    /// Such as `scale.min`; empty: something that no key says.
    pub key: String,
    /// What becomes of it.
    pub op: Op,
    /// Before; `None` also where it is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// After; `None` also where it is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The values may be secrets and are not told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Which line says the new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Place>,
}

/// One subject.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    #[serde(flatten)]
    pub subject: Subject,
    /// What becomes of it.
    pub op: Op,
    /// Its keys that differ; of a new one, those that are written; of one that is gone, none.
    pub keys: Vec<KeyChange>,
}

/// All differences, by service.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Diff {
    /// In the order of [`Subject`].
    pub changes: Vec<Change>,
}

impl Diff {
    /// From `old` to `new`.
    pub fn between(old: &Facts, new: &Facts) -> Self {
        let (old, new) = (by_subject(old), by_subject(new));
        let all: BTreeSet<Subject> = old.keys().chain(new.keys()).cloned().collect();
        let change = |subject: Subject| {
            let (op, keys) = match (old.get(&subject), new.get(&subject)) {
                (Some(old), Some(new)) => (Op::Change, changed(old, new)),
                (None, Some(new)) => (Op::Add, written(new)),
                (_, None) => (Op::Remove, Vec::new()),
            };
            (op != Op::Change || !keys.is_empty()).then_some(Change { subject, op, keys })
        };
        Self {
            changes: all.into_iter().filter_map(change).collect(),
        }
    }

    /// Whether both run the same.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many are new, are others, are gone.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |op| self.changes.iter().filter(|change| change.op == op).count();
        (count(Op::Add), count(Op::Change), count(Op::Remove))
    }
}

fn by_subject(facts: &Facts) -> BTreeMap<Subject, &Entry> {
    facts.0.iter().map(|entry| (entry.subject.clone(), entry)).collect()
}

/// What is new: what its files say, not each default.
fn written(new: &Entry) -> Vec<KeyChange> {
    let written = new
        .facts
        .iter()
        .filter(|(key, fact)| fact.written && *key != ROUTE_ORDER);
    written.map(|(key, fact)| key_change(key, None, Some(fact))).collect()
}

fn changed(old: &Entry, new: &Entry) -> Vec<KeyChange> {
    let keys: BTreeSet<&String> = old.facts.keys().chain(new.facts.keys()).collect();
    let differ = keys.into_iter().filter_map(|key| {
        let (from, to) = (old.facts.get(key), new.facts.get(key));
        let same = from.map(|fact| &fact.value) == to.map(|fact| &fact.value);
        let told = key != ROUTE_ORDER || same_members(from, to);
        (!same && told).then_some((key, from, to))
    });
    let differ: Vec<_> = differ.collect();
    // Defaults that come or go with something that is written are no news.
    let is_news = |(_, from, to): &&(&String, Option<&Fact>, Option<&Fact>)| match (from, to) {
        (Some(_), Some(_)) => true,
        (one, other) => one.or(*other).is_some_and(|fact| fact.written),
    };
    let mut out: Vec<_> = differ.iter().filter(is_news).collect();
    if out.is_empty() {
        out = differ.iter().collect();
    }
    let mut out: Vec<_> = out
        .into_iter()
        .map(|(key, from, to)| key_change(key, *from, *to))
        .collect();
    if out.is_empty() && old.whole != new.whole {
        out.push(KeyChange {
            key: String::new(),
            op: Op::Change,
            from: None,
            to: None,
            hidden: true,
            origin: None,
        });
    }
    out
}

/// A route that came or went is told by itself; only another order of the same ones is told as that.
fn same_members(one: Option<&Fact>, other: Option<&Fact>) -> bool {
    let members = |fact: Option<&Fact>| {
        let value = fact
            .map(|fact| fact.value.trim_matches(['[', ']']).to_owned())
            .unwrap_or_default();
        let mut names: Vec<_> = value.split(", ").map(str::to_owned).collect();
        names.sort();
        names
    };
    members(one) == members(other)
}

fn key_change(key: &str, from: Option<&Fact>, to: Option<&Fact>) -> KeyChange {
    let hidden = [from, to].into_iter().flatten().any(|fact| fact.secret);
    let shown = |fact: Option<&Fact>| fact.filter(|_| !hidden).map(|fact| fact.value.clone());
    KeyChange {
        key: key.to_owned(),
        op: match (from, to) {
            (None, _) => Op::Add,
            (_, None) => Op::Remove,
            _ => Op::Change,
        },
        from: shown(from),
        to: shown(to),
        hidden,
        origin: to.and_then(|fact| fact.origin.clone()),
    }
}

#[cfg(test)]
#[path = "diff/tests.rs"]
mod tests;
