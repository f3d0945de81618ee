//! What a room is told, as lines of key and value, called and written as a manifest does it. Pure.

use ondol_core::unit::{show_duration, show_size};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Values by key.
pub(super) type Values = BTreeMap<String, String>;

/// The key of a service's routes in their order, which breaks ties between them.
pub(crate) const ROUTE_ORDER: &str = "routes (order)";

/// What a room calls otherwise than the manifest, as the end of a key.
const NAMES: [(&str, &str); 9] = [
    ("ready_interval", "ready.interval"),
    ("ready_timeout", "ready.timeout"),
    ("start_within", "ready.start_within"),
    ("scale_min", "scale.min"),
    ("scale_max", "scale.max"),
    ("team", "owner.team"),
    ("failure_ratio", "failures"),
    ("hedge_share", "hedge.share"),
    ("per_second", "rate"),
];

/// Adds everything below `value`. What is empty or null is not there. An empty name stands for its parent.
pub(super) fn flatten(prefix: &str, value: &Value, out: &mut Values) {
    match value {
        Value::Null => {}
        Value::Object(map) => match duration(map) {
            Some(span) => put(prefix, show_duration(span), out),
            None => map.iter().for_each(|(name, value)| member(prefix, name, value, out)),
        },
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            let items: Vec<_> = items.iter().map(item).collect();
            if !items.is_empty() {
                put(prefix, format!("[{}]", items.join(", ")), out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match pair(item) {
                    Some((name, value)) => member(prefix, name, value, out),
                    None => member(prefix, &(index + 1).to_string(), item, out),
                }
            }
        }
        scalar => put(prefix, text(scalar), out),
    }
}

fn member(prefix: &str, name: &str, value: &Value, out: &mut Values) {
    let (name, shown) = unit(name, value);
    let name = NAMES
        .iter()
        .find(|(own, _)| *own == name)
        .map_or(name, |(_, known)| known);
    let key = match (prefix, name) {
        (prefix, "") => prefix.to_owned(),
        ("", name) => name.to_owned(),
        (prefix, name) => format!("{prefix}.{name}"),
    };
    match shown {
        Some(shown) => put(&key, shown, out),
        None => flatten(&key, value, out),
    }
}

/// The name without its unit, and the value with it.
fn unit<'a>(name: &'a str, value: &Value) -> (&'a str, Option<String>) {
    let percent = |value: &Value| Some(format!("{} %", (value.as_f64()? * 1e6).round() / 1e4));
    if let Some((name, per)) = [("_ms", 1), ("_s", 1_000)]
        .into_iter()
        .find_map(|(end, per)| Some((name.strip_suffix(end)?, per)))
    {
        let span = value.as_u64().map(|count| count.saturating_mul(per));
        return (name, span.map(|ms| show_duration(Duration::from_millis(ms))));
    }
    match name {
        "failure_ratio" | "hedge_share" | "share" => (name, percent(value)),
        "body_limit" => (name, value.as_u64().map(show_size)),
        _ => (name, None),
    }
}

/// Two things that happen to have one key are both told.
fn put(key: &str, value: String, out: &mut Values) {
    let free = (2..).map(|n| format!("{key}.{n}"));
    let key = std::iter::once(key.to_owned())
        .chain(free)
        .find(|key| !out.contains_key(key));
    out.extend(key.map(|key| (key, value)));
}

/// One of a list; quoted where it could be read as two or as none, so that lists that differ do not look alike.
fn item(scalar: &Value) -> String {
    match scalar {
        Value::String(text) if text.is_empty() || text.contains([',', '"', '[', ']']) => scalar.to_string(),
        other => text(other),
    }
}

fn text(scalar: &Value) -> String {
    match scalar {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As serde writes a [`Duration`].
fn duration(map: &serde_json::Map<String, Value>) -> Option<Duration> {
    let (secs, nanos) = (map.get("secs")?.as_u64()?, map.get("nanos")?.as_u64()?);
    (map.len() == 2).then(|| Duration::new(secs, u32::try_from(nanos).unwrap_or(0)))
}

/// A name and its value, as lists in order have them.
fn pair(item: &Value) -> Option<(&str, &Value)> {
    match item.as_array()?.as_slice() {
        [Value::String(name), value] => Some((name, value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_called_and_written_as_in_a_manifest() {
        let mut out = Values::new();
        let all = json!({
            "drain_ms": 30_000, "scale_min": 2, "ready_interval_ms": 1_500, "max_age_s": 60, "body_limit": 10 << 20,
            "breaker": { "failure_ratio": 0.101, "open_ms": 5_000 }, "hedge_share": 0.05, "absent": null, "none": [],
            "run": ["sh", "-c", "x"], "depends_on": { "a": { "": "required", "timeout_ms": 100 } },
            "set": [["x-a", "1"], ["x-a", "2"]], "rules": [{ "k": true }], "every": { "secs": 60, "nanos": 0 },
        });
        flatten("", &all, &mut out);
        let want = [
            ("body_limit", "10MiB"),
            ("breaker.failures", "10.1 %"),
            ("breaker.open", "5s"),
            ("depends_on.a", "required"),
            ("depends_on.a.timeout", "100ms"),
            ("drain", "30s"),
            ("every", "1m"),
            ("hedge.share", "5 %"),
            ("max_age", "1m"),
            ("ready.interval", "1500ms"),
            ("rules.1.k", "true"),
            ("run", "[sh, -c, x]"),
            ("scale.min", "2"),
            ("set.x-a", "1"),
            ("set.x-a.2", "2"),
        ];
        let out: Vec<_> = out.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(out, want);
    }

    #[test]
    fn lists_that_differ_never_look_alike() {
        let shown = |list: &[&str]| {
            let mut out = Values::new();
            flatten("run", &json!(list), &mut out);
            out.remove("run").expect("a value")
        };
        let lists: [&[&str]; 7] = [
            &["sh", "-c", "a, b"],
            &["sh", "-c", "a", "b"],
            &["sh, -c, a, b"],
            &["\"a, b\""],
            &["a, b"],
            &["[a]"],
            &["a", ""],
        ];
        let all: std::collections::BTreeSet<_> = lists.into_iter().map(shown).collect();
        assert_eq!(all.len(), 7, "{all:?}");
        assert!(all.contains("[sh, -c, \"a, b\"]"));
    }
}
