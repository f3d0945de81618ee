//! A row of `ondol_outbox`, and the event that it is.

use crate::envelope::{CloudEvent, check_all};
use crate::error::EventsError;
use ondol_core::id::ServiceName;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Largest `data` and `headers` of a row together, in bytes. Escaped as JSON text it must fit into a row of the store.
pub(crate) const LARGEST: usize = 640 << 10;
/// Longest of the other texts, in bytes: longer than any that is taken.
pub(crate) const LONGEST_TEXT: usize = 1_024;
/// Of a larger text so many bytes are kept for people to look at.
const SHOWN: usize = 600;
/// Keys that are alike in so many bytes are one key, as with subscriptions.
const LONGEST_KEY: usize = 320;
/// Attributes that have columns of their own.
const COLUMNS: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "partitionkey",
    "time",
    "data",
];

/// A row as it was read.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OutboxRow {
    pub(crate) seq: u64,
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) key: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) data: String,
    pub(crate) headers: String,
    pub(crate) created: Option<String>,
    /// Its size, where it was too large and is kept in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<u64>,
}

impl OutboxRow {
    /// The row within the bounds: of one that is too large only the beginnings are kept, and `cut` is set.
    pub(crate) fn bounded(mut self) -> Self {
        let texts = [
            Some(&self.id),
            Some(&self.kind),
            self.key.as_ref(),
            self.source.as_ref(),
            self.subject.as_ref(),
        ];
        let longest = texts
            .into_iter()
            .chain([self.created.as_ref()])
            .flatten()
            .map(String::len)
            .max();
        if self.data.len() + self.headers.len() <= LARGEST && longest.is_none_or(|longest| longest <= LONGEST_TEXT) {
            return self;
        }
        self.cut = self.cut.or(Some(self.weight() as u64));
        let optional = [&mut self.key, &mut self.source, &mut self.subject, &mut self.created];
        let given = optional.into_iter().filter_map(Option::as_mut);
        for text in [&mut self.id, &mut self.kind, &mut self.data, &mut self.headers]
            .into_iter()
            .chain(given)
        {
            text.truncate(text.floor_char_boundary(SHOWN));
        }
        self
    }

    /// Rows of one lane stay in order; a row without a key has its own.
    pub(crate) fn lane(&self) -> Arc<str> {
        match &self.key {
            Some(key) => key[..key.floor_char_boundary(LONGEST_KEY)].into(),
            None => format!("#{}", self.seq).into(),
        }
    }

    /// What it weighs in memory and in a batch.
    pub(crate) fn weight(&self) -> usize {
        self.data.len() + self.headers.len() + self.id.len() + self.kind.len() + 128
    }

    /// The event.
    ///
    /// # Errors
    /// Why it is none, for people.
    pub(crate) fn event(&self, service: &ServiceName) -> Result<CloudEvent, String> {
        if let Some(size) = self.cut {
            return Err(format!(
                "the row has {size} bytes: at most {LARGEST} of data and headers and {LONGEST_TEXT} of any other text are taken"
            ));
        }
        let data = RawValue::from_string(self.data.clone()).map_err(|error| format!("data is no JSON: {error}"))?;
        let mut headers: Map<String, Value> =
            serde_json::from_str(&self.headers).map_err(|error| format!("headers is no JSON object: {error}"))?;
        if let Some(name) = COLUMNS
            .iter()
            .chain(&["data_base64"])
            .find(|name| headers.contains_key(**name))
        {
            return Err(format!("headers: {name} is not set there"));
        }
        let mut text = |name: &str| match headers.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("headers: {name} is no string")),
        };
        let event = CloudEvent {
            specversion: "1.0".into(),
            id: self.id.clone(),
            source: self.source.clone().unwrap_or_else(|| format!("/services/{service}")),
            kind: self.kind.clone(),
            subject: self.subject.clone(),
            time: self.created.clone(),
            datacontenttype: text("datacontenttype")?,
            dataschema: text("dataschema")?,
            partitionkey: self.key.clone(),
            correlationid: text("correlationid")?,
            causationid: text("causationid")?,
            traceparent: text("traceparent")?,
            data: Some(data),
            data_base64: None,
            extensions: headers.into_iter().collect(),
        };
        let mut checked = [event];
        check_all(&checked).map_err(|error| match error {
            EventsError::Invalid { attribute, rule, .. } => format!("attribute {attribute} {rule}"),
            other => other.to_string(),
        })?;
        let [event] = &mut checked;
        Ok(event.clone())
    }

    /// The row for people: what is no JSON stands as text.
    pub(crate) fn shown(&self) -> Value {
        let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        json!({
            "id": self.id, "type": self.kind, "partitionkey": self.key, "source": self.source, "subject": self.subject,
            "time": self.created, "headers": parsed(&self.headers), "data": parsed(&self.data),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> OutboxRow {
        OutboxRow {
            seq: 7,
            id: "charge-1".into(),
            kind: "wallet.charged.v1".into(),
            key: Some("wallet-1".into()),
            data: r#"{"amount":  1.50}"#.into(),
            headers: r#"{"correlationid":"c-1","region":"eu"}"#.into(),
            created: Some("2026-11-21T18:00:00.123Z".into()),
            ..OutboxRow::default()
        }
    }

    fn refused(change: impl FnOnce(&mut OutboxRow), words: &str) {
        let mut row = row();
        change(&mut row);
        let told = row.event(&"payments".parse().expect("a name")).expect_err("is refused");
        assert!(told.contains(words), "{told}");
    }

    #[test]
    fn a_row_is_an_event_with_its_data_as_written() {
        let event = row().event(&"payments".parse().expect("a name")).expect("is one");
        assert_eq!(
            serde_json::to_value(&event).expect("JSON"),
            json!({
                "specversion": "1.0", "id": "charge-1", "source": "/services/payments", "type": "wallet.charged.v1",
                "time": "2026-11-21T18:00:00.123Z", "partitionkey": "wallet-1", "correlationid": "c-1", "region": "eu",
                "data": { "amount": 1.50 },
            })
        );
        assert_eq!(event.data.expect("is there").get(), r#"{"amount":  1.50}"#);
        assert_eq!(
            (&*row().lane(), &*OutboxRow { key: None, ..row() }.lane()),
            ("wallet-1", "#7")
        );
    }

    #[test]
    fn what_is_no_event_is_told_in_words() {
        refused(|row| row.data = "{".into(), "data is no JSON");
        refused(|row| row.headers = "[]".into(), "headers is no JSON object");
        refused(
            |row| row.headers = r#"{"id":"x"}"#.into(),
            "headers: id is not set there",
        );
        refused(
            |row| row.headers = r#"{"correlationid":7}"#.into(),
            "correlationid is no string",
        );
        refused(
            |row| row.headers = r#"{"Upper":"x"}"#.into(),
            "attribute Upper has a name",
        );
        refused(|row| row.headers = r#"{"position":7}"#.into(), "set by the platform");
        refused(|row| row.id = String::new(), "attribute id is empty");
        refused(
            |row| row.created = Some("yesterday".into()),
            "attribute time is not a moment",
        );
        refused(|row| row.cut = Some(2_000_000), "2000000 bytes");
    }

    #[test]
    fn a_row_that_is_too_large_is_kept_in_part_and_refused() {
        let large = OutboxRow {
            data: "\"주".repeat(LARGEST / 4 + 1),
            ..row()
        }
        .bounded();
        assert_eq!((large.data.len(), large.cut.is_some()), (SHOWN, true));
        let long = OutboxRow {
            id: "x".repeat(LONGEST_TEXT + 1),
            ..row()
        }
        .bounded();
        assert_eq!(
            (long.id.len(), long.event(&"payments".parse().expect("a name")).is_err()),
            (SHOWN, true)
        );
        assert_eq!(row().bounded(), row());
    }
}
