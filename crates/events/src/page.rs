//! A page of events, and its JSON.

use bytes::Bytes;
use ondol_core::engine::StoredEvent;
use std::io::Write as _;

/// Events in order. Only an empty page says that there is no more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The events; each body is a CloudEvent's JSON.
    pub events: Vec<StoredEvent>,
}

impl Page {
    /// The page as `application/cloudevents-batch+json`: every CloudEvent as it was stored, with `stream`, `revision` and
    /// `position` put in front. Costs one copy; nothing is parsed.
    pub fn to_json(&self) -> Bytes {
        let size = self
            .events
            .iter()
            .map(|stored| stored.event.body.len() + 128)
            .sum::<usize>();
        let mut out = Vec::with_capacity(size + 2);
        out.push(b'[');
        for (index, stored) in self.events.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_event(&mut out, stored);
        }
        out.push(b']');
        out.into()
    }

    /// Position of the last event; `None`: the page is empty.
    pub fn last_position(&self) -> Option<u64> {
        self.events.last().map(|stored| stored.position)
    }
}

impl Page {
    /// One event as the page's JSON has it.
    pub fn event_json(stored: &StoredEvent) -> Vec<u8> {
        let mut out = Vec::with_capacity(stored.event.body.len() + 128);
        write_event(&mut out, stored);
        out
    }
}

/// One event as its JSON, with its places put in front.
pub(crate) fn write_event(out: &mut Vec<u8>, stored: &StoredEvent) {
    // Stream names need no escaping. A stored body begins with `{` and holds at least its id.
    let (stream, revision, position) = (&stored.stream, stored.revision, stored.position);
    let _ = write!(
        out,
        r#"{{"stream":"{stream}","revision":{revision},"position":{position},"#
    );
    out.extend_from_slice(stored.event.body.get(1..).unwrap_or_default());
}
