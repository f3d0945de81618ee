//! The small values of `balance:`.

use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::read::{Read, Reader};
use crate::tree::Node;
use crate::value::{is_token, leaf, words};
use schemars::{Schema, SchemaGenerator, json_schema};

/// A header field's name, lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderName(pub String);

leaf! {
    HeaderName: |text| if is_token(text) { Ok(HeaderName(text.to_ascii_lowercase())) } else { Err(format!("`{text}` is no name of a header")) }, { "title": "header", "type": "string", "examples": ["x-customer"] };
}

words! {
    /// How an instance is chosen.
    Algorithm { /// Of two the one with the lower latency times work in hand.
        PeakEwma = "peak-ewma", /// Of two the one with fewer requests in flight.
        LeastRequest = "least-request", /// In turn.
        RoundRobin = "round-robin", /// By a hash ring.
        RingHash = "ring-hash", /// By a Maglev table.
        Maglev = "maglev", }
}

words! {
    /// What every request has that can be hashed.
    Hashed { /// The client's address.
        SourceIp = "source_ip", /// The path.
        Path = "path", }
}
