//! Which kept answers are to go.

use crate::id::ServiceName;
use crate::path::{self, BadPath};
use serde::{Deserialize, Serialize};

/// Kept answers that fit all that is said; nothing said: all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Of this path, whatever the query, or, with `/*` at its end, of all paths below it. As the service gets it: after the route has
    /// rewritten it, in whatever form: [`Purge::canonical`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Why a purge can fit nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadPurge {
    /// Its path has a query.
    #[error("a path has no query: answers to all of its queries go")]
    Query,
    /// A `*` elsewhere than as the last segment.
    #[error("`*` stands only as the last segment, as in `/products/*`")]
    Star,
    /// Its path has no canonical form.
    #[error(transparent)]
    Path(#[from] BadPath),
}

impl Purge {
    /// All of one service.
    pub fn of(service: ServiceName) -> Self {
        Self {
            service: Some(service),
            path: None,
        }
    }

    /// The same with its path in the one form that kept answers are known by; see [`crate::path`].
    ///
    /// # Errors
    /// [`BadPurge`]: no request has such a path.
    pub fn canonical(&self) -> Result<Self, BadPurge> {
        let path = self.path.as_deref().map(canonical_path).transpose()?;
        let service = self.service.clone();
        Ok(Self { service, path })
    }

    /// Whether answers of `service` for `target`, a path with its query, are to go. Both paths are canonical.
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

fn canonical_path(path: &str) -> Result<String, BadPurge> {
    if path.contains('?') {
        return Err(BadPurge::Query);
    }
    let (plain, below) = match path.strip_suffix('*') {
        Some(plain) if plain.ends_with('/') => (plain, "*"),
        _ => (path, ""),
    };
    if plain.contains('*') {
        return Err(BadPurge::Star);
    }
    let mut out = String::with_capacity(path.len());
    path::canonical(plain.as_bytes(), &mut out)?;
    path::without_parameters(&out)?; // A request with such a path is refused.
    out.push_str(below);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_canonical_before_it_is_compared() {
        for (path, canonical) in [
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a//b", "/a/b"),
            ("/%61/./c/../b/", "/a/b/"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/a//*", "/a/*"),
            ("/a/../*", "/*"),
            ("/*", "/*"),
        ] {
            let path = Some(path.to_owned());
            let purge = Purge { service: None, path };
            assert_eq!(
                purge.canonical().map(|purge| purge.path),
                Ok(Some(canonical.to_owned()))
            );
        }
        assert_eq!(Purge::default().canonical(), Ok(Purge::default()));
    }

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
            assert_eq!(purge.canonical().as_ref(), Ok(&purge));
            assert_eq!(purge.fits("shop", "/a/b?c=d"), fits, "{purge:?}");
        }
        for path in [
            "", "a", "*", "/a?b=c", "/a*", "/*/a", "/a/**", "/café", "/a%", "/..", "/a%2Fb/*", "/..;", "/..;/*", "/a b",
        ] {
            assert!(purge(None, Some(path)).canonical().is_err(), "{path}");
        }
    }
}
