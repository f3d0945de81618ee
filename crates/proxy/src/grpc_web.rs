//! gRPC-Web: what a browser can say of gRPC, and how it becomes gRPC and back.
//!
//! After `doc/PROTOCOL-WEB.md` of gRPC, and what Envoy's filter of that name has taught its clients to expect: a browser cannot
//! read HTTP/2's trailers, so they are the last frame of the body, with the highest bit of its flags set. `-text` is the same in
//! base64, for those who cannot read bytes as they come.
//!
//! Translated is what plainly is gRPC-Web and goes to a service that speaks h2c (`proxy/going.rs`); a service that speaks
//! HTTP/1 gets it as it came, since only one that understands it by itself can be there. Filters see the client's head before
//! it and after it, attempts and instances see gRPC alone.
//!
//! Invariants
//! - What the service reads is exactly the messages that the client wrote; a body that is none breaks off, with an error.
//! - An answer without trailers gets no frame of them: a status in the head is the last word then.
//! - No more than one piece is held in either direction.
//!
//! Not here: answers of the proxy's own, which [`Answer`](crate::answer::Answer) gives in the client's [`Dialect`].

mod answer;
mod messages;
mod request;
mod text;

pub use messages::Messages;
pub use request::Reader;
pub use text::Decoder;

use crate::exchange::Response;
use crate::message::{Body, RequestHead};

/// gRPC's own content type, to which `+proto` or the like may be added.
pub const GRPC: &str = "application/grpc";
const WEB: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";

/// How a client speaks gRPC-Web.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialect {
    asks_in_text: bool,
    wants_text: bool,
    /// `+proto`, `+json`, or empty.
    format: String,
}

impl Dialect {
    /// That of a request; `None`: it is no gRPC-Web.
    ///
    /// Who sends text gets text, unless it accepts gRPC-Web in bytes alone; who sends bytes may accept text.
    pub fn of(head: &RequestHead) -> Option<Self> {
        let (asks_in_text, format) = kind(head.fields.get_str("content-type")?)?;
        let accepted = head.fields.all("accept").flat_map(|value| value.split(|b| *b == b','));
        let accepted = accepted.filter_map(|item| Some(kind(std::str::from_utf8(item).ok()?)?.0));
        let wants_text = accepted.reduce(|a, b| a || b).unwrap_or(asks_in_text);
        Some(Self {
            asks_in_text,
            wants_text,
            format,
        })
    }

    /// The content type of an answer in this format; an empty one: that of the request.
    pub fn content_type(&self, format: &str) -> String {
        let format = if format.is_empty() { &self.format } else { format };
        format!("{}{format}", if self.wants_text { TEXT } else { WEB })
    }

    /// The head that the service gets.
    pub fn request(&self, head: &RequestHead) -> RequestHead {
        let mut head = head.clone();
        head.fields.set("content-type", format!("{GRPC}{}", self.format));
        head.fields.set("te", "trailers"); // gRPC servers refuse who cannot take trailers.
        head
    }

    /// The body that the service gets.
    pub fn upload<'b>(&self, body: Body<'b>) -> Body<'b> {
        request::upload(body, self.asks_in_text)
    }

    /// The answer that the client gets. One that is no gRPC, such as a refusal of the server's HTTP, stays as it is: clients map
    /// its status, as those of gRPC do.
    pub fn answer<'b>(&self, mut response: Response<'b>) -> Response<'b> {
        let kind = response.head.fields.get_str("content-type").and_then(grpc_format);
        let Some(format) = kind.map(|format| self.content_type(&format)) else {
            return response;
        };
        response.head.fields.set("content-type", format);
        response.body = answer::download(response.body, self.wants_text);
        response
    }
}

/// Whether a media type is gRPC-Web's text, and its format.
fn kind(value: &str) -> Option<(bool, String)> {
    format_of(value, TEXT)
        .map(|format| (true, format))
        .or_else(|| format_of(value, WEB).map(|format| (false, format)))
}

fn grpc_format(value: &str) -> Option<String> {
    format_of(value, GRPC)
}

/// What follows `base` in a media type: nothing, or a format. Parameters mean nothing here.
fn format_of(value: &str, base: &str) -> Option<String> {
    let name = value.split(';').next().unwrap_or_default().trim();
    let (start, format) = name.split_at_checked(base.len())?;
    let is_format = match format.strip_prefix('+') {
        Some(word) => !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        None => format.is_empty(),
    };
    (is_format && start.eq_ignore_ascii_case(base)).then(|| format.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
