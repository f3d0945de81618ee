//! Requests and responses as the whole proxy sees them, whichever protocol carries them.
//!
//! Invariants
//! - Field names are lower case; their order is the sender's. A name may come more than once.
//! - [`RequestHead::path`] is canonical (see [`ondol_core::path`]): what is matched is what is authorised and what is sent on.
//! - A body is read only as fast as somebody takes it, piece by piece; a piece is at most [`PIECE`] bytes.
//!
//! Not here: what is legal in a head (`check.rs`, `h1/head.rs`), and framing, which each codec chooses on its own.

mod body;
mod fields;
mod marks;

pub use body::{Body, BodyError, Frame, PIECE, Source};
pub use fields::{Fields, list_items};

use http::{Method, StatusCode};
use ondol_core::path::{self, BadPath};

/// Which HTTP a message came by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// As logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A request's head.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// By which HTTP it came.
    pub version: Version,
    /// Everything but the target and the authority: `host` is not among them.
    pub fields: Fields,
    authority: String,
    /// How much of the authority is its host.
    host: usize,
    target: String,
    path: usize,
    /// The path without `;parameters`, where it has any.
    plain: Option<String>,
}

impl RequestHead {
    /// A head without fields. `target` is a path with an optional query, not canonical yet.
    ///
    /// # Errors
    /// [`BadPath`] for a path that has no one meaning; see [`ondol_core::path`].
    pub fn new(method: Method, authority: &str, target: &str) -> Result<Self, BadPath> {
        let mut head = Self {
            method,
            ..Self::default()
        };
        head.set_authority(authority);
        head.set_target(target.as_bytes())?;
        Ok(head)
    }

    /// The authority, lower case, with its port if one was sent; empty when HTTP/1.0 sent none.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Adds the authority as a field.
    pub fn push_authority(&mut self, name: &str) {
        self.fields.push(name, &self.authority);
    }

    /// The authority without its port.
    pub fn host(&self) -> &str {
        &self.authority[..self.host]
    }

    /// The canonical path with the query: what is sent on.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The canonical path that routes are matched with: `;parameters` are not part of it.
    pub fn path(&self) -> &str {
        self.plain.as_deref().unwrap_or(&self.target[..self.path])
    }

    /// The query without `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path + 1..)
    }

    /// Sets the authority.
    pub fn set_authority(&mut self, authority: &str) {
        self.authority.clear();
        self.authority.push_str(authority);
        self.authority.make_ascii_lowercase();
        self.host = match memchr::memrchr(b':', self.authority.as_bytes()) {
            Some(at) if !self.authority[at..].contains(']') => at,
            _ => self.authority.len(),
        };
    }

    /// Makes `target` canonical and sets it.
    ///
    /// # Errors
    /// [`BadPath`]; the head is not to be used then.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), BadPath> {
        self.target.clear();
        self.path = path::canonical(target, &mut self.target)?;
        self.plain = path::without_parameters(&self.target[..self.path])?;
        Ok(())
    }

    /// Makes the head empty, keeps the memory.
    pub fn clear(&mut self) {
        self.method = Method::GET;
        self.version = Version::Http11;
        self.fields.clear();
        self.authority.clear();
        self.host = 0;
        self.target.clear();
        self.path = 0;
        self.plain = None;
    }
}

/// A response's head.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status: 101, or 200 and above. Other informational answers end at the hop that got them.
    pub status: StatusCode,
    /// Its fields, without framing.
    pub fields: Fields,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            fields: Fields::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_authority_without_its_port() {
        for (authority, host) in [
            ("Shop.Example:80", "shop.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a", "a"),
        ] {
            assert_eq!(
                RequestHead::new(Method::GET, authority, "/").expect("valid").host(),
                host,
                "{authority}"
            );
        }
    }

    #[test]
    fn a_target_falls_into_path_and_query() {
        let head = RequestHead::new(Method::GET, "a", "/a/%7eb;v=1/c?x=/../y").expect("valid");
        assert_eq!((head.path(), head.query()), ("/a/~b/c", Some("x=/../y")));
        assert_eq!(head.target(), "/a/~b;v=1/c?x=/../y");
        assert_eq!(RequestHead::new(Method::GET, "a", "/a").expect("valid").query(), None);
    }
}
