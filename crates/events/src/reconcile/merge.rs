//! Sorted streams as one: all that the sources say of a key, key by key.
//!
//! Holds at most one page of each source, whatever their number. Pure: it says which pages it lacks, and is given them.
//! Invariant: keys come out in rising order, each once. Tests: beside it, against a plain map.

use super::item::{Item, Page};
use std::collections::VecDeque;

/// All that is known of one key; an item per source, in the plan's order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) items: Vec<Option<Item>>,
}

#[derive(Debug, Default)]
struct Stream {
    items: VecDeque<Item>,
    /// Its last key so far; the next page begins after it.
    last: Option<String>,
    ended: bool,
}

/// The sources of one run.
#[derive(Debug)]
pub(crate) struct Merge(Vec<Stream>);

impl Merge {
    /// Of so many sources, each at its beginning.
    pub(crate) fn new(sources: usize) -> Self {
        Self(std::iter::repeat_with(Stream::default).take(sources).collect())
    }

    /// Sources whose next page is needed before the next key is certain, and after which key it begins.
    pub(crate) fn lacks(&self) -> Vec<(usize, Option<String>)> {
        let streams = self.0.iter().enumerate();
        let lacking = streams.filter(|(_, stream)| stream.items.is_empty() && !stream.ended);
        lacking.map(|(source, stream)| (source, stream.last.clone())).collect()
    }

    /// The next page of a source.
    pub(crate) fn give(&mut self, source: usize, page: Page) {
        let Some(stream) = self.0.get_mut(source) else { return };
        stream.ended = !page.more;
        stream.last = page.items.last().map(|item| item.key.clone());
        stream.items.extend(page.items);
    }

    /// The next key; `None` when a source lacks its page, or all have ended.
    pub(crate) fn next(&mut self) -> Option<Row> {
        if self.0.iter().any(|stream| stream.items.is_empty() && !stream.ended) {
            return None;
        }
        let heads = self.0.iter().filter_map(|stream| stream.items.front());
        let key = heads.map(|item| &item.key).min()?.clone();
        let items = self.0.iter_mut().map(|stream| {
            let is_of_key = stream.items.front().is_some_and(|item| item.key == key);
            is_of_key.then(|| stream.items.pop_front()).flatten()
        });
        Some(Row {
            items: items.collect(),
            key: key.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn item(key: &str) -> Item {
        Item {
            key: key.to_owned(),
            at: None,
            fields: Vec::new(),
        }
    }

    /// Serves the pages that are asked for, each of at most `size` items.
    fn merged(sources: &[BTreeSet<String>], size: usize) -> (Vec<(String, Vec<bool>)>, usize) {
        let (mut merge, mut rows, mut most) = (Merge::new(sources.len()), Vec::new(), 0);
        loop {
            while let Some(row) = merge.next() {
                rows.push((row.key, row.items.iter().map(Option::is_some).collect()));
            }
            let lacks = merge.lacks();
            if lacks.is_empty() {
                return (rows, most);
            }
            for (source, after) in lacks {
                let left = sources[source].iter().filter(|key| Some(*key) > after.as_ref());
                let page: Vec<Item> = left.clone().take(size).map(|key| item(key)).collect();
                let more = left.count() > page.len();
                merge.give(source, Page { items: page, more });
            }
            most = most.max(merge.0.iter().map(|stream| stream.items.len()).max().unwrap_or(0));
        }
    }

    proptest! {
        #[test]
        fn every_key_comes_once_in_order_with_who_has_it(
            sources in prop::collection::vec(prop::collection::btree_set("[a-cé]{1,3}", 0..12), 1..5), size in 1_usize..5,
        ) {
            let mut want: BTreeMap<String, Vec<bool>> = BTreeMap::new();
            for (number, source) in sources.iter().enumerate() {
                for key in source {
                    want.entry(key.clone()).or_insert_with(|| vec![false; sources.len()])[number] = true;
                }
            }
            let (rows, most) = merged(&sources, size);
            prop_assert_eq!(rows, want.into_iter().collect::<Vec<_>>());
            prop_assert!(most <= size, "{} items of one source in memory", most);
        }
    }

    #[test]
    fn sources_that_end_on_a_page_that_is_empty_end_all_the_same() {
        let mut merge = Merge::new(1);
        merge.give(
            0,
            Page {
                items: vec![item("a")],
                more: true,
            },
        );
        assert_eq!(merge.next().map(|row| row.key).as_deref(), Some("a"));
        assert_eq!(merge.lacks(), [(0, Some("a".to_owned()))]);
        merge.give(0, Page::default());
        assert_eq!((merge.next(), merge.lacks()), (None, Vec::new()));
    }
}
