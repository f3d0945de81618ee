//! A query string, decoded with an error that says what does not fit, and the one way in which lists are paged.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::Problem;

/// A page's size where the request names none.
const PAGE: u32 = 20;
/// Largest page.
const LARGEST_PAGE: u32 = 100;

/// The decoded query string.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::try_from_uri(&parts.uri);
        query
            .map(|Query(value)| Self(value))
            .map_err(|error| Problem::bad_request("bad_query", error.body_text()))
    }
}

/// How many items a page has: 20, or what `limit` says, from 1 to 100.
///
/// # Errors
/// 400 for a number outside.
pub fn page_size(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE);
    if (1..=LARGEST_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad_request(
        "bad_query",
        format!("limit is a number from 1 to {LARGEST_PAGE}"),
    ))
}

/// The items of one page and the cursor of the next, from up to `limit + 1` items: the one too many says that there is more.
pub fn page<T>(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| id(last).to_owned());
    (items, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: usize, limit: u32, expected: (usize, Option<&str>)) {
        let items: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        let (items, next) = page(items, limit, |item| item);
        assert_eq!(
            (items.len(), next.as_deref()),
            expected,
            "{count} items, {limit} wanted"
        );
    }

    #[test]
    fn a_page_names_the_next_only_when_there_is_one() {
        check(0, 2, (0, None));
        check(2, 2, (2, None));
        check(3, 2, (2, Some("1")));
    }

    #[test]
    fn a_page_size_outside_its_bounds_is_refused() {
        assert_eq!(page_size(None).ok(), Some(20));
        assert_eq!(page_size(Some(100)).ok(), Some(100));
        assert!(page_size(Some(0)).is_err() && page_size(Some(101)).is_err());
    }
}
