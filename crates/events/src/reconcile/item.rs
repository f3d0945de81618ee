//! Pages as sources give them, read strictly: what is not as agreed makes a run *unknown*, never *pass*.
//!
//! Agreed is `GET PATH?limit=1000&after=KEY` → `{"items": [{"key", "at", …}], "next": KEY or null}`: keys rise in the order
//! of their bytes, `at` is when the item last changed (RFC 3339; `null`: it is true at any moment), `next` is the last key
//! while there is more. Of the other members only those are kept that rules name. Tests: beside it.

use ondol_core::clock::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// Items of one page.
pub(crate) const ITEMS: usize = 1_000;
/// Bytes of a key, so that it fits into a row's name.
pub(crate) const KEY_BYTES: usize = 256;
/// Bytes of a text that is compared.
const TEXT_BYTES: usize = 1_024;
/// How far the clocks of two machines may differ.
const AHEAD: Duration = Duration::from_secs(3_600);

/// One thing that a source has.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Item {
    pub(crate) key: String,
    /// When it last changed; `None`: it is always at rest.
    pub(crate) at: Option<Timestamp>,
    /// The members that are compared, in the plan's order; `Null` where it has none.
    pub(crate) fields: Vec<Value>,
}

/// Items that follow each other.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// There are more, after the last one.
    pub(crate) more: bool,
}

/// Reads the answer to a question for the items after `after`.
///
/// # Errors
/// What is not as agreed, in words for people.
pub(crate) fn read(body: &[u8], after: Option<&str>, fields: &[String], now: Timestamp) -> Result<Page, String> {
    let answer: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| format!("no JSON object: {error}"))?;
    let Some(Value::Array(listed)) = answer.get("items") else {
        return Err("no list `items`".to_owned());
    };
    if listed.len() > ITEMS {
        return Err(format!(
            "{} items on one page; at most {ITEMS} were asked for",
            listed.len()
        ));
    }
    let mut items: Vec<Item> = Vec::with_capacity(listed.len());
    for (number, value) in listed.iter().enumerate() {
        let before = items.last().map_or(after, |item| Some(&item.key));
        let item = item(value, before, fields, now).map_err(|why| format!("item {}: {why}", number + 1))?;
        items.push(item);
    }
    let more = match (answer.get("next"), items.last()) {
        (Some(Value::Null), _) => false,
        (Some(Value::String(next)), Some(last)) if *next == last.key => true,
        (Some(_), _) => return Err("`next` is neither null nor the last item's key".to_owned()),
        (None, _) => return Err("no `next`".to_owned()),
    };
    Ok(Page { items, more })
}

fn item(value: &Value, before: Option<&str>, fields: &[String], now: Timestamp) -> Result<Item, String> {
    let key = match value.get("key") {
        Some(Value::String(key)) => key,
        _ => return Err("no text `key`".to_owned()),
    };
    if !(1..=KEY_BYTES).contains(&key.len()) || key.chars().any(char::is_control) {
        return Err(format!("a key has 1 to {KEY_BYTES} bytes and no control characters"));
    }
    if before.is_some_and(|before| **key <= *before) {
        return Err(format!(
            "key {key:?} does not come after {:?}",
            before.unwrap_or_default()
        ));
    }
    let at = match value.get("at") {
        Some(Value::Null) => None,
        Some(Value::String(text)) => Some(moment(text).ok_or("`at` is no time such as 2026-11-21T18:00:00Z")?),
        _ => return Err("no time `at`; null where it is true at any moment".to_owned()),
    };
    if at.is_some_and(|at| at > now.plus(AHEAD)) {
        return Err(format!("key {key:?} is dated more than an hour ahead"));
    }
    let kept = fields.iter().map(|field| scalar(field, value.get(field)));
    Ok(Item {
        key: key.clone(),
        at,
        fields: kept.collect::<Result<_, _>>()?,
    })
}

fn moment(text: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(moment.as_millisecond()))
}

fn scalar(field: &str, value: Option<&Value>) -> Result<Value, String> {
    match value {
        None => Ok(Value::Null),
        Some(Value::Array(_) | Value::Object(_)) => Err(format!("`{field}` is no single value")),
        Some(Value::String(text)) if text.len() > TEXT_BYTES => {
            Err(format!("`{field}` has more than {TEXT_BYTES} bytes"))
        }
        Some(value) => Ok(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn page(answer: &Value, after: Option<&str>) -> Result<Page, String> {
        read(
            answer.to_string().as_bytes(),
            after,
            &["total".into(), "paid".into()],
            NOW,
        )
    }

    #[test]
    fn a_page_keeps_what_is_compared() {
        let answer = json!({ "items": [
            { "key": "a", "at": "1970-01-01T00:00:05+00:00", "total": 5, "other": { "x": [] } },
            { "key": "b", "at": null, "paid": false },
        ], "next": "b" });
        let page = page(&answer, None).expect("a page");
        let item = |key: &str, at, fields| Item {
            key: key.into(),
            at,
            fields,
        };
        let a = item("a", Some(Timestamp(5_000)), vec![json!(5), Value::Null]);
        assert_eq!(page.items, [a, item("b", None, vec![Value::Null, json!(false)])]);
        assert!(page.more);
    }

    #[test]
    fn what_is_not_as_agreed_is_told() {
        let one = |item: Value| json!({ "items": [item], "next": null });
        let long = "x".repeat(1_025);
        let many: Vec<Value> = (0..1_001)
            .map(|n| json!({ "key": format!("{n:05}"), "at": null }))
            .collect();
        for (answer, told) in [
            (json!([]), "no JSON object"),
            (json!({ "next": null }), "no list `items`"),
            (json!({ "items": many, "next": null }), "1001 items"),
            (json!({ "items": [] }), "no `next`"),
            (json!({ "items": [], "next": "x" }), "`next` is neither"),
            (
                json!({ "items": [{ "key": "b", "at": null }], "next": "c" }),
                "`next` is neither",
            ),
            (one(json!({ "at": null })), "item 1: no text `key`"),
            (one(json!({ "key": 7, "at": null })), "no text `key`"),
            (one(json!({ "key": "", "at": null })), "a key has"),
            (one(json!({ "key": "a\u{0}b", "at": null })), "a key has"),
            (one(json!({ "key": "x".repeat(257), "at": null })), "a key has"),
            (one(json!({ "key": "a", "at": null })), "does not come after"),
            (one(json!({ "key": "B", "at": null })), "does not come after"),
            (one(json!({ "key": "b" })), "no time `at`"),
            (one(json!({ "key": "b", "at": 5 })), "no time `at`"),
            (one(json!({ "key": "b", "at": "yesterday" })), "`at` is no time"),
            (one(json!({ "key": "b", "at": "2099-01-01T00:00:00Z" })), "ahead"),
            (one(json!({ "key": "b", "at": null, "total": [1] })), "no single value"),
            (one(json!({ "key": "b", "at": null, "paid": long })), "more than 1024"),
        ] {
            let error = page(&answer, Some("a")).expect_err(told);
            assert!(error.contains(told), "{error} for {told}");
        }
        let unsorted = json!({ "items": [{ "key": "b", "at": null }, { "key": "b", "at": null }], "next": null });
        assert!(
            page(&unsorted, None)
                .expect_err("twice")
                .starts_with("item 2: key \"b\" does not come after")
        );
        assert!(read(b"\xff", None, &[], NOW).is_err());
    }
}
