//! Pages of other origins: what a preflight is answered, and what an answer lets a page read.
//!
//! After the filter CORS of the Gateway API's HTTPRoute (GEP-1767); the protocol is the Fetch standard's, section 3.2. A
//! request of an origin that is not allowed is served as any other: it is the browser that keeps the answer from the page.

use crate::message::{Fields, RequestHead, ResponseHead};
use http::{Method, StatusCode};
use ondol_core::wire::proxy::Cors;

/// What an origin is allowed stands in these alone; a service's own word about it would be a second one.
const ANSWERS: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
];
/// Any.
const ANY: &str = "*";

/// The method that a browser asks about; `None`: it is no preflight.
pub fn preflight(head: &RequestHead) -> Option<&str> {
    if head.method != Method::OPTIONS || !head.fields.contains("origin") {
        return None;
    }
    head.fields.get_str("access-control-request-method")
}

/// The answer to a preflight. It goes no further, and nobody is asked for a token: browsers send none.
pub fn answer(cors: &Cors, head: &RequestHead) -> ResponseHead {
    let mut answer = ResponseHead::new(StatusCode::NO_CONTENT);
    let fields = &mut answer.fields;
    fields.push(
        "vary",
        "origin, access-control-request-method, access-control-request-headers",
    );
    let Some(origin) = allowed(cors, &head.fields) else {
        return answer;
    };
    shared(cors, &origin, fields);
    // With credentials a browser takes a star for a name, so what was asked is said back.
    let said_back = |list: &[String], asked: &str| match head.fields.get_str(asked) {
        Some(asked) if list.iter().any(|one| one == ANY) => asked.to_owned(),
        _ => list.join(", "),
    };
    let methods = said_back(&cors.allow_methods, "access-control-request-method");
    let headers = said_back(&cors.allow_headers, "access-control-request-headers");
    for (name, value) in [
        ("access-control-allow-methods", methods),
        ("access-control-allow-headers", headers),
    ] {
        if !value.is_empty() {
            fields.push(name, value);
        }
    }
    fields.push("access-control-max-age", cors.max_age_s.to_string());
    answer
}

/// What the answer to a request says of its origin; the value of `Access-Control-Allow-Origin`, `None`: nothing.
pub fn allowed(cors: &Cors, request: &Fields) -> Option<String> {
    let origin = request.get_str("origin")?;
    let any = cors.allow_origins.iter().any(|pattern| pattern == ANY);
    if any && !cors.allow_credentials {
        return Some(ANY.to_owned());
    }
    let allowed = any || cors.allow_origins.iter().any(|pattern| is_of(pattern, origin));
    allowed.then(|| origin.to_owned())
}

/// Writes into an answer what a page of this origin may read.
pub fn write(cors: &Cors, origin: Option<&str>, fields: &mut Fields) {
    ANSWERS.iter().for_each(|name| {
        fields.remove(name);
    });
    if cors.allow_origins != [ANY] || cors.allow_credentials {
        fields.push("vary", "origin"); // Else a cache would give one origin's answer to another.
    }
    if let Some(origin) = origin {
        shared(cors, origin, fields);
    }
}

/// What preflights and answers have in common.
fn shared(cors: &Cors, origin: &str, fields: &mut Fields) {
    fields.push("access-control-allow-origin", origin);
    if cors.allow_credentials {
        fields.push("access-control-allow-credentials", "true");
    }
    if !cors.expose_headers.is_empty() {
        fields.push("access-control-expose-headers", cors.expose_headers.join(", "));
    }
}

/// `https://*.shop.example` takes one or more labels, as a host of a match does. Scheme and port must be the same.
fn is_of(pattern: &str, origin: &str) -> bool {
    let Some((scheme, rest)) = pattern.split_once("://*.") else {
        return pattern.eq_ignore_ascii_case(origin);
    };
    let Some((own, host)) = origin.split_once("://") else {
        return false;
    };
    let Some(labels) = host.len().checked_sub(rest.len() + 1).filter(|labels| *labels > 0) else {
        return false;
    };
    own.eq_ignore_ascii_case(scheme)
        && host.is_char_boundary(labels + 1)
        && host.as_bytes()[labels] == b'.'
        && host[labels + 1..].eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_case_of_the_data_is_answered_as_it_says() {
        let data = include_str!("../../../../conformance/gateway/cors.json");
        let data: Value = serde_json::from_str(data).expect("JSON");
        for case in data["cases"].as_array().expect("cases") {
            let cors: Cors = serde_json::from_value(data["routes"][case["route"].as_str().expect("a route")].clone())
                .expect("a CORS filter");
            let method = case["method"].as_str().expect("a method").parse().expect("a method");
            let mut head = RequestHead::new(method, "shop.example", "/").expect("a head");
            for (name, value) in case["fields"].as_object().expect("fields") {
                head.fields.push(name, value.as_str().expect("text"));
            }
            let fields = match preflight(&head) {
                Some(_) => answer(&cors, &head).fields,
                None => {
                    let mut fields: Fields = [("access-control-allow-origin", "https://evil.example")]
                        .into_iter()
                        .collect();
                    write(&cors, allowed(&cors, &head.fields).as_deref(), &mut fields);
                    fields
                }
            };
            for (name, value) in case["answer"].as_object().expect("an answer") {
                let all: Vec<_> = fields.all(name).map(String::from_utf8_lossy).collect();
                let expected: Vec<_> = value.as_str().into_iter().collect();
                assert_eq!(all, expected, "{}: {name}", case["case"]);
            }
        }
    }
}
