//! Which kept answers are to go.

use crate::id::ServiceName;
use serde::{Deserialize, Serialize};

/// Kept answers that fit all that is said; nothing said: all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Of this path, whatever the query, or, with `/*` at its end, of all paths below it. As the service gets it: canonical, and after
    /// the route has rewritten it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Purge {
    /// All of one service.
    pub fn of(service: ServiceName) -> Self {
        Self {
            service: Some(service),
            path: None,
        }
    }

    /// Why it can fit nothing, in words.
    ///
    /// # Errors
    /// For a path that does not begin with `/`, or has a query, or a `*` that is not its last segment.
    pub fn check(&self) -> Result<(), &'static str> {
        let Some(path) = &self.path else { return Ok(()) };
        let plain = path.strip_suffix("/*").unwrap_or(path);
        match () {
            () if !path.starts_with('/') => Err("a path begins with `/`"),
            () if path.contains(['?', '#']) => Err("a path has no query: answers to all of its queries go"),
            () if plain.contains('*') => Err("`*` stands only as the last segment, as in `/products/*`"),
            () => Ok(()),
        }
    }

    /// Whether answers of `service` for `target`, a path with its query, are to go.
    pub fn fits(&self, service: &str, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let by_path = match &self.path {
            None => true,
            Some(wanted) => match wanted.strip_suffix('*') {
                Some(below) => path.starts_with(below),
                None => path == wanted,
            },
        };
        by_path && self.service.as_ref().is_none_or(|wanted| wanted.as_str() == service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_by_service_and_by_path_and_below() {
        let purge = |service: Option<&str>, path: Option<&str>| Purge {
            service: service.map(|name| name.parse().expect("a name")),
            path: path.map(str::to_owned),
        };
        for (service, path, fits) in [
            (None, None, true),
            (Some("shop"), None, true),
            (Some("other"), None, false),
            (None, Some("/a/b"), true),
            (None, Some("/a"), false),
            (None, Some("/a/*"), true),
            (None, Some("/*"), true),
            (None, Some("/a/b/*"), false),
            (Some("other"), Some("/a/b"), false),
        ] {
            let purge = purge(service, path);
            assert_eq!(purge.check(), Ok(()));
            assert_eq!(purge.fits("shop", "/a/b?c=d"), fits, "{purge:?}");
        }
        for path in ["", "a", "*", "/a?b=c", "/a*", "/*/a", "/a/**"] {
            assert!(purge(None, Some(path)).check().is_err(), "{path}");
        }
    }
}
