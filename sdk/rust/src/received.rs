//! An event that has come: read from a push, or from JSON.
//!
//! Source: CloudEvents 1.0.2, HTTP protocol binding in binary mode, and JSON event format.

use crate::event::{BadEvent, Data};
use crate::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use serde_json::{Map, Value};

/// An event that has come.
#[derive(Clone, PartialEq, Debug)]
pub struct Received {
    /// Its id, unique in the whole log.
    pub id: String,
    /// Who says so.
    pub source: String,
    /// What happened.
    pub kind: String,
    /// When, RFC 3339; for people, never for ordering.
    pub time: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// Events with one key come in their order.
    pub key: Option<String>,
    /// Media type of the data; JSON where it is absent.
    pub content_type: Option<String>,
    /// What it carries.
    pub data: Option<Data>,
    /// Its stream, and its place in it from 0.
    pub stream: Option<String>,
    /// See `stream`.
    pub revision: Option<u64>,
    /// Its place in the log of all events, from 1.
    pub position: Option<u64>,
    /// Every other attribute.
    pub extensions: Map<String, Value>,
}

impl Received {
    /// Reads the JSON event format.
    ///
    /// # Errors
    /// [`BadEvent`] with the first rule that is broken.
    pub fn from_json(event: &Value) -> Result<Self, BadEvent> {
        let Value::Object(attributes) = event else {
            return bad("event", "is no JSON object");
        };
        let mut attributes = attributes.clone();
        let data = attributes.remove("data").filter(|data| !data.is_null());
        let data = match attributes.remove("data_base64") {
            None | Some(Value::Null) => data.map(Data::Json),
            Some(text) => {
                let bytes = text.as_str().and_then(|text| STANDARD.decode(text).ok());
                let Some(bytes) = bytes else {
                    return bad("data_base64", "is no base64");
                };
                Some(Data::Bytes(bytes))
            }
        };
        Self::of(attributes, data)
    }

    /// Reads binary mode.
    ///
    /// # Errors
    /// [`BadEvent`] with the first rule that is broken.
    pub fn from_http(headers: &HeaderMap, body: &[u8]) -> Result<Self, BadEvent> {
        let mut attributes = Map::new();
        for (header, value) in headers {
            let Some(name) = header.as_str().strip_prefix("ce-") else {
                continue;
            };
            let Some(text) = value.to_str().ok().and_then(text::decoded) else {
                return bad(name, "is not percent-encoded UTF-8");
            };
            attributes.insert(name.to_owned(), Value::String(text));
        }
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or("?"));
        if let Some(kind) = kind {
            attributes.insert("datacontenttype".into(), Value::from(kind));
        }
        let essence = kind.unwrap_or("application/json").split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        if essence.starts_with("application/cloudevents") {
            return bad("datacontenttype", "says that the event is not in binary mode");
        }
        let data = match body {
            [] => None,
            body if essence == "application/json" || essence.ends_with("+json") => match serde_json::from_slice(body) {
                Ok(json) => Some(Data::Json(json)),
                Err(_) => return bad("data", "is no JSON"),
            },
            body => Some(Data::Bytes(body.to_vec())),
        };
        Self::of(attributes, data)
    }

    fn of(mut attributes: Map<String, Value>, data: Option<Data>) -> Result<Self, BadEvent> {
        if text_of(&mut attributes, "specversion")?.as_deref() != Some("1.0") {
            return bad("specversion", "is not 1.0");
        }
        let mut required = |name| match text_of(&mut attributes, name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => bad(name, "is missing or empty"),
        };
        Ok(Self {
            id: required("id")?,
            source: required("source")?,
            kind: required("type")?,
            time: text_of(&mut attributes, "time")?,
            subject: text_of(&mut attributes, "subject")?,
            key: text_of(&mut attributes, "partitionkey")?,
            content_type: text_of(&mut attributes, "datacontenttype")?,
            data,
            stream: text_of(&mut attributes, "stream")?,
            revision: number_of(&mut attributes, "revision")?,
            position: number_of(&mut attributes, "position")?,
            extensions: attributes,
        })
    }

    /// In the JSON event format, with its places, as the platform gives it.
    pub fn to_json(&self) -> Value {
        let mut json = self.extensions.clone();
        let mut set = |name: &str, value: Option<Value>| {
            value.and_then(|value| json.insert(name.to_owned(), value));
        };
        set("specversion", Some("1.0".into()));
        for (name, text) in [("id", &self.id), ("source", &self.source), ("type", &self.kind)] {
            set(name, Some(text.as_str().into()));
        }
        for (name, text) in [
            ("time", &self.time),
            ("subject", &self.subject),
            ("partitionkey", &self.key),
            ("datacontenttype", &self.content_type),
            ("stream", &self.stream),
        ] {
            set(name, text.as_deref().map(Value::from));
        }
        set("revision", self.revision.map(Value::from));
        set("position", self.position.map(Value::from));
        match &self.data {
            None => {}
            Some(Data::Json(data)) => set("data", Some(data.clone())),
            Some(Data::Bytes(bytes)) => set("data_base64", Some(STANDARD.encode(bytes).into())),
        }
        Value::Object(json)
    }
}

fn bad<T>(attribute: &str, rule: &'static str) -> Result<T, BadEvent> {
    let attribute = attribute.chars().take(80).collect();
    Err(BadEvent { attribute, rule })
}

fn text_of(attributes: &mut Map<String, Value>, name: &str) -> Result<Option<String>, BadEvent> {
    match attributes.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => bad(name, "is no text"),
    }
}

/// As a number in JSON, as digits in a header.
fn number_of(attributes: &mut Map<String, Value>, name: &str) -> Result<Option<u64>, BadEvent> {
    let number = match attributes.remove(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Some(_) => None,
    };
    number.map_or_else(|| bad(name, "is no whole number"), |number| Ok(Some(number)))
}
