//! What a route changes: header fields, host and path of what is sent on, and where a client is sent instead.
//!
//! After the filters HeaderModifier, URLRewrite and RequestRedirect of the Gateway API's HTTPRoute. A changed path is made
//! canonical again, so that what is sent on has one meaning, whatever was put together.

use crate::message::{Fields, RequestHead, ResponseHead};
use http::StatusCode;
use ondol_core::path::BadPath;
use ondol_core::wire::proxy::{FieldChanges, PathChange, PathMatch, Redirect, Rewrite, RouteMatch};

/// Changes fields.
pub fn fields(changes: &FieldChanges, fields: &mut Fields) {
    for name in &changes.remove {
        fields.remove(name);
    }
    for (name, value) in &changes.set {
        fields.set(name, value);
    }
    for (name, value) in &changes.add {
        fields.push(name, value);
    }
}

/// Gives the request its new host and path.
///
/// # Errors
/// [`BadPath`] when the new path has no one meaning.
pub fn rewrite(rewrite: &Rewrite, matches: &RouteMatch, head: &mut RequestHead) -> Result<(), BadPath> {
    if let Some(host) = &rewrite.host {
        head.set_authority(host);
    }
    match &rewrite.path {
        None => Ok(()),
        Some(change) => head.set_target(target(change, matches, head).as_bytes()),
    }
}

/// The answer that sends a client elsewhere. `scheme` is the one that the client used.
///
/// # Errors
/// [`BadPath`] when the new path has no one meaning.
pub fn redirect(
    redirect: &Redirect,
    matches: &RouteMatch,
    head: &RequestHead,
    scheme: &str,
) -> Result<ResponseHead, BadPath> {
    let target = match &redirect.path {
        None => head.target().to_owned(),
        Some(change) => {
            let text = target(change, matches, head);
            let canonical = RequestHead::new(head.method.clone(), "", &text)?;
            canonical.target().to_owned()
        }
    };
    let host = redirect.host.as_deref().unwrap_or(head.host());
    let port = redirect.port.or_else(|| match redirect.scheme {
        Some(_) => None,
        None => port_of(head),
    });
    let scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = port.filter(|port| *port != usual);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let status = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    let mut answer = ResponseHead::new(status);
    let origin = match host {
        "" => String::new(), // HTTP/1.0 names none; a path alone is a location as well.
        host => format!("{scheme}://{host}{port}"),
    };
    answer.fields.push("location", format!("{origin}{target}"));
    Ok(answer)
}

/// The port that the client named.
fn port_of(head: &RequestHead) -> Option<u16> {
    head.authority()[head.host().len()..].strip_prefix(':')?.parse().ok()
}

/// The changed path with the query of the request.
fn target(change: &PathChange, matches: &RouteMatch, head: &RequestHead) -> String {
    let (path, query) = match head.target().split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (head.target(), None),
    };
    let mut target = match (change, &matches.path) {
        (PathChange::Full(full), _) => full.clone(),
        (PathChange::Prefix(by), PathMatch::Prefix(prefix)) => in_place_of(prefix, by, path),
        // A check refuses it: only a prefix has something to replace.
        (PathChange::Prefix(_), _) => path.to_owned(),
    };
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// `path` with the segments of `prefix` replaced by `by`. Counted by segments, since parameters of a segment are no part of
/// what was matched.
fn in_place_of(prefix: &str, by: &str, path: &str) -> String {
    let segments = prefix.trim_end_matches('/').matches('/').count();
    let rest = path.match_indices('/').nth(segments).map_or("", |(at, _)| &path[at..]);
    match (by.trim_end_matches('/'), rest) {
        ("", "") => "/".to_owned(),
        (by, rest) => format!("{by}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn matching(path: PathMatch) -> RouteMatch {
        RouteMatch {
            path,
            methods: Vec::new(),
            hosts: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        }
    }

    fn head(authority: &str, target: &str) -> RequestHead {
        RequestHead::new(Method::GET, authority, target).expect("valid")
    }

    /// The table of `ReplacePrefixMatch` in the Gateway API, and what it leaves open.
    #[test]
    fn a_prefix_is_replaced_by_whole_segments() {
        for (path, prefix, by, want) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "/", "/bar"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/a/b", "/", "/xyz", "/xyz/a/b"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/foo;v=1/bar;w", "/foo", "/xyz", "/xyz/bar;w"),
        ] {
            assert_eq!(in_place_of(prefix, by, path), want, "{path} {prefix} {by}");
        }
    }

    #[test]
    fn a_rewritten_request_keeps_its_query_and_has_one_meaning() {
        let prefix = matching(PathMatch::Prefix("/api".into()));
        let by = |by: &str| Rewrite {
            host: Some("inner.example".into()),
            path: Some(PathChange::Prefix(by.into())),
        };
        let mut request = head("shop.example:8080", "/api/orders?x=/api");
        rewrite(&by("/v2"), &prefix, &mut request).expect("a path");
        assert_eq!(
            (request.target(), request.authority()),
            ("/v2/orders?x=/api", "inner.example")
        );
        let mut request = head("a", "/api../secret");
        rewrite(&by("/v2"), &prefix, &mut request).expect("a path");
        assert_eq!(request.target(), "/v2/secret", "a segment is replaced whole");
        let full = Rewrite {
            host: None,
            path: Some(PathChange::Full("/one".into())),
        };
        let mut request = head("a", "/api/x?y");
        rewrite(&full, &prefix, &mut request).expect("a path");
        assert_eq!((request.target(), request.authority()), ("/one?y", "a"));
    }

    #[test]
    fn a_redirect_changes_what_it_names_and_keeps_the_rest() {
        let base = Redirect {
            scheme: None,
            host: None,
            port: None,
            path: None,
            status: 302,
        };
        let named = |scheme: Option<&str>, host: Option<&str>, port| Redirect {
            scheme: scheme.map(Into::into),
            host: host.map(Into::into),
            port,
            ..base.clone()
        };
        for (redirected, authority, want) in [
            (
                named(Some("https"), None, None),
                "shop.example:8080",
                "https://shop.example/a?b",
            ),
            (
                named(Some("https"), None, Some(8443)),
                "shop.example",
                "https://shop.example:8443/a?b",
            ),
            (
                named(Some("https"), None, Some(443)),
                "shop.example",
                "https://shop.example/a?b",
            ),
            (
                named(None, Some("other.example"), None),
                "shop.example:8080",
                "http://other.example:8080/a?b",
            ),
            (
                named(None, Some("other.example"), Some(80)),
                "shop.example:8080",
                "http://other.example/a?b",
            ),
            (named(None, None, Some(81)), "[::1]:8080", "http://[::1]:81/a?b"),
            (named(None, None, None), "", "/a?b"),
        ] {
            let answer = redirect(
                &redirected,
                &matching(PathMatch::Prefix("/".into())),
                &head(authority, "/a?b"),
                "http",
            );
            let answer = answer.expect("an answer");
            assert_eq!(answer.fields.get_str("location"), Some(want));
            assert_eq!(answer.status, StatusCode::FOUND);
        }
        let moved = Redirect {
            path: Some(PathChange::Prefix("/new".into())),
            status: 308,
            ..base
        };
        let answer = redirect(
            &moved,
            &matching(PathMatch::Prefix("/old".into())),
            &head("a", "/old/x?y"),
            "http",
        );
        let answer = answer.expect("an answer");
        assert_eq!(answer.fields.get_str("location"), Some("http://a/new/x?y"));
        assert_eq!(answer.status.as_u16(), 308);
    }

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let mut some: Fields = [("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")].into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let changes = FieldChanges {
            remove: vec!["b".into()],
            set: vec![pair("a", "5"), pair("d", "6")],
            add: vec![pair("c", "7"), pair("b", "8")],
        };
        fields(&changes, &mut some);
        let all: Vec<_> = some.iter().map(|(name, value)| (name, value.to_vec())).collect();
        let want = [("c", "4"), ("a", "5"), ("d", "6"), ("c", "7"), ("b", "8")];
        assert_eq!(all, want.map(|(name, value)| (name, value.as_bytes().to_vec())));
    }
}
