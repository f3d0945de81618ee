//! Whether an answer may be kept, how long it is fresh, and how long it may be given when it is not.
//!
//! These are HTTP's rules for a shared cache (RFC 9111), with its extensions for stale answers (RFC 5861), over fields that
//! somebody else has read. Who asks the origin when there is nothing fresh says [`slot`].
//!
//! Invariants
//! - What may not be kept by RFC 9111, section 3, is not kept, whatever the policy says. Nor is anything that sets a cookie.
//! - No freshness is guessed: an answer that says nothing of its time is never fresh, and may only stand in for an error.
//! - Failures (from 400 on) are fresh for [`NEGATIVE`] at most, and never given stale.
//! - What forbids stale answers (`must-revalidate`, `proxy-revalidate`, `no-cache`) stands above what the policy allows.
//!
//! Not here: fields as text, keys, memory (`crates/proxy/src/cache`).

pub mod slot;
#[cfg(test)]
mod tests;

use std::time::Duration;

/// A failure that says how long it is fresh is taken at its word for so long at most.
pub const NEGATIVE: Duration = Duration::from_secs(1);

/// What the policy of a route or an edge allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// All consumers share answers; then only those are kept that say that they may be shared.
    pub shared: bool,
    /// How long beyond its freshness an answer that says nothing of it may be given while another is fetched.
    pub while_revalidating: Duration,
    /// How long beyond its freshness an answer that says nothing of it may be given in place of an error.
    pub on_error: Duration,
}

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asker {
    /// The request says who it is for, and that is part of the key unless answers are shared.
    pub known: bool,
    /// The service gets credentials that are not part of the key: `Authorization`, a cookie.
    pub credentials: bool,
}

/// What an answer says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// Its status.
    pub status: u16,
    /// `Cache-Control: no-store`.
    pub no_store: bool,
    /// `no-cache`, of the whole answer or of a field.
    pub no_cache: bool,
    /// `private`, of the whole answer or of a field.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub must_revalidate: bool,
    /// `max-age`.
    pub max_age: Option<Duration>,
    /// `s-maxage`.
    pub s_maxage: Option<Duration>,
    /// `Expires` less `Date`; zero for one that is no date.
    pub expires: Option<Duration>,
    /// `stale-while-revalidate`.
    pub while_revalidating: Option<Duration>,
    /// `stale-if-error`.
    pub on_error: Option<Duration>,
    /// How old it was when it came, by [`initial_age`].
    pub age: Duration,
    /// It has a validator: `ETag` or `Last-Modified`.
    pub validated: bool,
    /// It sets a cookie.
    pub sets_cookie: bool,
    /// `Vary: *`.
    pub varies_by_all: bool,
}

/// For how long a kept answer is good for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// Fresh until it is so old.
    pub lifetime: Duration,
    /// How old it was when it came.
    pub age: Duration,
    /// Beyond its lifetime it may be given for so long while another is fetched.
    pub while_revalidating: Duration,
    /// Beyond its lifetime it may be given for so long in place of an error.
    pub on_error: Duration,
}

/// How old an answer was when it came: RFC 9111, section 4.2.3. `said` is its `Age`, `took` the time from asking to its head,
/// `since_date` what lies between its `Date` and now.
pub fn initial_age(said: Duration, took: Duration, since_date: Duration) -> Duration {
    since_date.max(said.saturating_add(took))
}

/// Whether an error of the origin: what RFC 5861, section 4 lets a stale answer stand in for.
pub fn is_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// The terms on which an answer is kept; `None`: it is not.
pub fn keep(rules: &Rules, asker: Asker, said: &Said) -> Option<Terms> {
    let unfinished = said.status < 200 || matches!(said.status, 206 | 304);
    if unfinished || said.no_store || said.private || said.sets_cookie || said.varies_by_all {
        return None;
    }
    // RFC 9111, section 3.5, which takes `must-revalidate` for leave too; but services say that of what is for one alone.
    // The key tells consumers apart, so one that is known to it needs no leave for itself.
    let needs_leave = asker.credentials || (rules.shared && asker.known);
    if needs_leave && !(said.public || said.s_maxage.is_some()) {
        return None;
    }
    let told = said.s_maxage.or(said.max_age).or(said.expires);
    let lifetime = match told {
        _ if said.no_cache => Duration::ZERO,
        told => told.unwrap_or_default(),
    };
    if said.status >= 400 {
        let lifetime = lifetime.min(said.age.saturating_add(NEGATIVE));
        return (lifetime > said.age).then_some(Terms {
            lifetime,
            age: said.age,
            ..Terms::default()
        });
    }
    if told.is_none() && !said.public && !is_cacheable_by_default(said.status) {
        return None;
    }
    let forbidden = said.must_revalidate || said.no_cache;
    let stale = |said_of_it: Option<Duration>, allowed: Duration| match said_of_it {
        _ if forbidden => Duration::ZERO,
        Some(said_of_it) => said_of_it,
        // It implies `proxy-revalidate` (RFC 9111, section 5.2.2.10); only the answer's own word stands above that.
        None if said.s_maxage.is_some() => Duration::ZERO,
        None => allowed,
    };
    let terms = Terms {
        lifetime,
        age: said.age,
        while_revalidating: stale(said.while_revalidating, rules.while_revalidating),
        on_error: stale(said.on_error, rules.on_error),
    };
    let good_for_something = said.validated || said.age < terms.longest();
    good_for_something.then_some(terms)
}

/// Those of RFC 9110, section 15.1 that are no failures and whole.
fn is_cacheable_by_default(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308)
}

impl Terms {
    /// At which age it is good for nothing any more but to be compared.
    fn longest(&self) -> Duration {
        self.lifetime.saturating_add(self.while_revalidating.max(self.on_error))
    }
}
