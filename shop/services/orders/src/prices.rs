//! What the products of an order cost now: asked of products, once, when the order is placed.
//!
//! Tests: below for the path; over HTTP in `tests/http/`.

use crate::event::{Item, Line};
use serde::Deserialize;
use shop_kit::{CallError, Client};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// One question. With the log's calls it must fit in a saga step's 5 s.
const LIMIT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Answer {
    items: Vec<Price>,
}

#[derive(Deserialize)]
struct Price {
    id: String,
    name: String,
    price: i64,
}

/// The service products. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Prices {
    client: Client,
}

impl Prices {
    /// At `PRODUCTS_URL`.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// A line for each item, with name and price, or without where products knows no such thing.
    ///
    /// # Errors
    /// [`CallError`] when products does not answer; whether the product exists is then unknown.
    pub async fn lines(&self, items: &[Item]) -> Result<Vec<Line>, CallError> {
        let known: HashMap<String, Price> = match question(items) {
            Some(path) => {
                let answer: Answer = self.client.get(&path, LIMIT).await?;
                answer
                    .items
                    .into_iter()
                    .map(|price| (price.id.clone(), price))
                    .collect()
            }
            None => HashMap::new(),
        };
        let line = |item: &Item| match known.get(&item.product_id) {
            Some(price) => Line {
                name: Some(price.name.clone()),
                price: Some(price.price),
                ..Line::unpriced(item)
            },
            None => Line::unpriced(item),
        };
        Ok(items.iter().map(line).collect())
    }
}

/// The path that asks for all of them, each once. What cannot be a product's id is not asked for, so that nothing a
/// customer types becomes part of the question; `None`: nothing is left to ask.
fn question(items: &[Item]) -> Option<String> {
    let plain = |id: &str| {
        !id.is_empty()
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let ids: BTreeSet<&str> = items
        .iter()
        .map(|item| item.product_id.as_str())
        .filter(|id| plain(id))
        .collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    (!ids.is_empty()).then(|| format!("/internal/products?ids={}", ids.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ids: &[&str], expected: Option<&str>) {
        let items: Vec<Item> = ids
            .iter()
            .map(|id| Item {
                product_id: (*id).to_owned(),
                quantity: 1,
            })
            .collect();
        assert_eq!(question(&items).as_deref(), expected);
    }

    #[test]
    fn each_product_is_asked_for_once() {
        check(&["p02", "p01", "p02"], Some("/internal/products?ids=p01,p02"));
    }

    #[test]
    fn what_cannot_be_an_id_is_not_asked_for() {
        check(
            &["p01", "p02&ids=p03", "a b", "../x", "", "p%30"],
            Some("/internal/products?ids=p01"),
        );
        check(&["&"], None);
    }
}
