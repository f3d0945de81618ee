//! Which line of which manifest a key stands in.

use super::Kind;
use crate::load::Loaded;
use crate::parse::{self, MANIFEST};
use crate::source::{FileId, Span};
use crate::tree::{Node, Value};
use ondol_core::id::ServiceName;
use std::collections::BTreeMap;

/// The manifests as trees.
pub(super) struct Places {
    system: Option<Node>,
    services: BTreeMap<ServiceName, Node>,
    /// Sagas and reconciliations by name: where their names stand.
    others: BTreeMap<(Kind, String), Span>,
}

impl Places {
    pub(super) fn new(loaded: &Loaded) -> Self {
        let tree = |file: FileId| {
            let source = loaded.sources.get(file)?;
            parse::parse(file, &source.text, MANIFEST).ok()
        };
        let services = loaded.services.iter();
        let sagas = loaded
            .sagas
            .iter()
            .map(|saga| (Kind::Saga, &saga.doc.saga.value, saga.doc.saga.at));
        let sagas = sagas.map(|(kind, name, at)| ((kind, name.to_string()), at));
        let reconciliations = loaded.reconciliations.iter().map(|one| {
            let named = &one.doc.reconcile;
            ((Kind::Reconciliation, named.value.0.to_string()), named.at)
        });
        Self {
            system: tree(loaded.system.at.file),
            services: services
                .filter_map(|service| Some((service.name.clone(), tree(service.file)?)))
                .collect(),
            others: sagas.chain(reconciliations).collect(),
        }
    }

    /// The place of a key, or of the nearest one around it, and whether it is the key's own.
    pub(super) fn find(
        &self,
        service: Option<&ServiceName>,
        kind: Kind,
        name: &str,
        key: &str,
    ) -> Option<(Span, bool)> {
        let own = service.and_then(|service| self.services.get(service));
        match kind {
            Kind::System => walk(self.system.as_ref()?, key),
            Kind::Build => match own.and_then(|tree| tree.get("build")) {
                Some(build) => Some((build.at, key == "run")),
                None => walk(self.system.as_ref()?, &format!("builds.{name}.{key}")),
            },
            Kind::Service => walk(own?, key),
            Kind::Route | Kind::Saga | Kind::Reconciliation => {
                let at = self.others.get(&(kind, name.to_owned()))?;
                Some((*at, false))
            }
        }
    }
}

/// Goes down as far as the key is written. Names may have dots of their own, so the longest that fits is taken.
fn walk(node: &Node, key: &str) -> Option<(Span, bool)> {
    let mut found = None;
    let (mut node, mut rest) = (node, key);
    while let Some((next, left)) = step(node, rest) {
        (node, rest) = (next, left);
        found = Some((node.at, rest.is_empty()));
    }
    found
}

fn step<'n, 'k>(node: &'n Node, rest: &'k str) -> Option<(&'n Node, &'k str)> {
    let left = |name: &str| {
        let left = rest.strip_prefix(name)?;
        (left.is_empty() || left.starts_with('.')).then(|| left.trim_start_matches('.'))
    };
    let named: Vec<(&str, &Node)> = match &node.value {
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.value.as_str(), value)).collect(),
        Value::List(items) => {
            let name = |item: &Node| {
                ["name", "type"]
                    .iter()
                    .find_map(|key| item.get(key)?.text().map(str::to_owned))
            };
            // An item that says its name, or is nothing but its name.
            let named = items.iter().filter_map(|item| {
                let text = item.text().map(str::to_owned).or_else(|| name(item))?;
                left(&text).map(|left| (text.len(), item, left))
            });
            return named
                .max_by_key(|(length, ..)| *length)
                .map(|(_, item, left)| (item, left));
        }
        Value::Scalar { .. } => return None,
    };
    let fits = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.len(), value, left(name)?)));
    let longest = fits.max_by_key(|(length, ..)| *length);
    longest
        .filter(|_| !rest.is_empty())
        .map(|(_, value, left)| (value, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_as_deep_as_it_is_written() {
        let text = "a: { b: 1, b.c: 2 }\nl:\n  - { name: x, y: 3 }\n  - z.v1\n";
        let tree = parse::parse(FileId(0), text, MANIFEST).expect("good");
        for (key, want) in [
            ("a.b", Some(("1", true))),
            ("a.b.c", Some(("2", true))),
            ("a.b.d", Some(("1", false))),
            ("l.x.y", Some(("3", true))),
            ("l.z.v1", Some(("z.v1", true))),
            ("l.z.v1.schema", Some(("z.v1", false))),
            ("q", None),
        ] {
            let found = walk(&tree, key).map(|(at, exact)| (&text[at.start as usize..at.end as usize], exact));
            assert_eq!(found, want, "{key}");
        }
    }
}
