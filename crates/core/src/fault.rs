//! Fault points: named places where a test may make the program fail or die. Without the feature `faults` they are
//! nothing at all.
//!
//! A build with the feature reads `ONDOL_FAULTS`, such as `store.commit.before=abort@3,proxy.dial=error`: at the third
//! passage of `store.commit.before` the process aborts (as `kill -9` would), and each `proxy.dial` fails.

/// What an armed point asks of its caller.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("fault injected at {0}")]
pub struct Injected(pub &'static str);

/// Passes the point `name`. Does not return when the point is armed to abort.
///
/// # Errors
/// [`Injected`] when the point is armed to fail.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn pass(_name: &'static str) -> Result<(), Injected> {
    Ok(())
}

/// Passes the point `name`. Does not return when the point is armed to abort.
///
/// # Errors
/// [`Injected`] when the point is armed to fail.
#[cfg(feature = "faults")]
pub fn pass(name: &'static str) -> Result<(), Injected> {
    armed::pass(name)
}

#[cfg(feature = "faults")]
mod armed {
    use super::Injected;
    use std::collections::HashMap;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Act {
        Abort,
        Error,
    }

    struct Point {
        act: Act,
        /// 0: every passage; else only this one.
        at: u64,
        passed: AtomicU64,
    }

    fn points() -> &'static HashMap<String, Point> {
        static POINTS: OnceLock<HashMap<String, Point>> = OnceLock::new();
        POINTS.get_or_init(|| parse(&std::env::var("ONDOL_FAULTS").unwrap_or_default()))
    }

    fn parse(text: &str) -> HashMap<String, Point> {
        let one = |item: &str| {
            let (name, what) = item.trim().split_once('=')?;
            let (act, at) = what.split_once('@').unwrap_or((what, "0"));
            let act = match act {
                "abort" => Act::Abort,
                "error" => Act::Error,
                _ => return None,
            };
            Some((
                name.to_owned(),
                Point {
                    act,
                    at: at.parse().ok()?,
                    passed: AtomicU64::new(0),
                },
            ))
        };
        text.split(',').filter_map(one).collect()
    }

    pub(super) fn pass(name: &'static str) -> Result<(), Injected> {
        let Some(point) = points().get(name) else { return Ok(()) };
        let nth = point.passed.fetch_add(1, Ordering::Relaxed) + 1;
        match point.act {
            _ if point.at != 0 && point.at != nth => Ok(()),
            Act::Abort => std::process::abort(),
            Act::Error => Err(Injected(name)),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn points_read_from_text() {
            let points = parse("a.b=abort@3, c=error,broken,x=what");
            assert_eq!(points.len(), 2);
            assert_eq!((points["a.b"].act, points["a.b"].at), (Act::Abort, 3));
            assert_eq!((points["c"].act, points["c"].at), (Act::Error, 0));
        }
    }
}
