//! `NAME.examples.yaml`: requests to the gateway, and what becomes of them.

use crate::diagnostic::Code;
use crate::document::document;
use crate::read::{Named, Read, Reader};
use crate::source::At;
use crate::tree::Node;
use crate::value::{FieldValue, Status, is_token, leaf};
use ondol_core::id::ServiceName;
use schemars::{Schema, SchemaGenerator, json_schema};

document! {
    /// NAME.examples.yaml: requests to the gateway and what becomes of them. `ondol check` runs them, without a network.
    "a file of examples" struct ExamplesDoc {
        /// The requests.
        examples: At<Vec<ExampleDoc>>,
    }
}

document! {
    /// A request and what is expected of it.
    "an example" struct ExampleDoc {
        /// What it shows, for people.
        about: Option<At<String>>,
        /// `METHOD PATH`, or `METHOD URL` for a host of its own.
        request: At<RequestLine>,
        /// Its header fields. A bearer token is taken for good, whatever it is.
        headers: Named<At<FieldValue>>,
        /// What becomes of it; what is absent may be anything.
        expect: At<ExpectDoc>,
    }
}

document! {
    /// What becomes of a request.
    "an expectation" struct ExpectDoc {
        /// The route that takes it; `none`: no route does.
        route: Option<At<String>>,
        /// A service that may get it.
        service: Option<At<ServiceName>>,
        /// The status, where the gateway answers itself: a refusal, a redirect, a preflight.
        status: Option<At<Status>>,
        /// Where the client is sent.
        location: Option<At<String>>,
        /// Path and query as the service gets them.
        path: Option<At<String>>,
        /// Header fields as the service gets them, or of the gateway's own answer; `none`: without the field.
        headers: Named<At<FieldValue>>,
    }
}

/// The first line of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestLine {
    /// The method.
    pub method: String,
    /// `http` or `https`, and host with an optional port; `None`: those of the listener.
    pub origin: Option<(String, String)>,
    /// Path and query as they are sent.
    pub target: String,
}

impl RequestLine {
    /// Reads a method, and a path or a URL.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(method: &str, url: &str) -> Result<Self, String> {
        if !is_token(method) {
            return Err(format!("`{method}` is not a method"));
        }
        let made = |origin, target: &str| Self {
            method: method.to_owned(),
            origin,
            target: target.to_owned(),
        };
        if url.starts_with('/') || url == "*" {
            return Ok(made(None, url));
        }
        let rest = ["http", "https"]
            .into_iter()
            .find_map(|scheme| Some((scheme, url.strip_prefix(scheme)?.strip_prefix("://")?)));
        let Some((scheme, rest)) = rest else {
            return Err(format!(
                "`{url}` is neither a path such as /api nor a URL such as https://shop.example/api"
            ));
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        if authority.is_empty() {
            return Err(format!("`{url}` names no host"));
        }
        let origin = Some((scheme.to_owned(), authority.to_owned()));
        Ok(match target.starts_with('/') {
            true => made(origin, target),
            // A client asks for the root where a URL has no path.
            false => made(origin, &format!("/{target}")),
        })
    }
}

fn request_line(text: &str) -> Result<RequestLine, String> {
    match text.split_once(' ') {
        Some((method, url)) if !url.contains(' ') => RequestLine::parse(method, url),
        _ => Err(format!(
            "`{text}` is not a method and a path, such as `GET /api/products`"
        )),
    }
}

leaf! {
    RequestLine: |text| request_line(text), { "title": "method and path or URL", "type": "string", "examples": ["GET /api/products", "GET https://shop.example/"] };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_method_and_a_path_or_a_url() {
        let read = |text: &str| {
            let line = request_line(text).expect(text);
            let origin = line
                .origin
                .map(|(scheme, host)| format!("{scheme} {host} "))
                .unwrap_or_default();
            format!("{} {origin}{}", line.method, line.target)
        };
        assert_eq!(read("GET /a?b"), "GET /a?b");
        assert_eq!(
            read("PUT https://shop.example:8443/a"),
            "PUT https shop.example:8443 /a"
        );
        assert_eq!(read("GET http://a?x"), "GET http a /?x");
        assert_eq!(read("GET http://a"), "GET http a /");
        for bad in [
            "/a",
            "GET",
            "GET a",
            "G@T /",
            "GET /a b",
            "GET http:///a",
            "GET ftp://a/",
        ] {
            assert!(request_line(bad).is_err(), "{bad}");
        }
    }
}
