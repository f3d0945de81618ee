//! Who is signed in to the console.
//!
//! A code from a one-time link buys a cookie. The cookie says until when it holds and is signed with a key made of the
//! system's secret, so it outlives the controller and nothing is kept of it; a new `.ondol/secret` ends all. Codes are
//! kept in memory: at most [`MAX_CODES`], each for [`CODE_LIFE`].
//!
//! Invariants
//! - A code is taken once.
//! - A write needs the token that only a page of this origin could read, besides the cookie.
//! - The cookie's name has the port in it: browsers do not tell ports apart, and two systems may run on one machine.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ondol_core::clock::Timestamp;
use ondol_core::entropy::{Entropy, SystemEntropy};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a link holds.
pub(crate) const CODE_LIFE: Duration = Duration::from_secs(600);
/// Links that hold at once; a further one ends the oldest.
const MAX_CODES: usize = 16;
/// How long a browser stays signed in.
const COOKIE_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Of the cookie, before the port.
const NAME: &str = "ondol-console";
/// Carries the token of a write.
pub(crate) const CSRF: HeaderName = HeaderName::from_static("ondol-csrf");

/// What a request's cookie is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// There is none, or it does not hold.
    Unknown,
    /// It holds, but this is a write without its token, or a request that another site made.
    Forged,
    /// It holds.
    SignedIn,
}

/// Codes and cookies; a clone is the same.
#[derive(Clone)]
pub struct Sessions {
    key: Arc<hmac::Key>,
    name: Arc<str>,
    codes: Arc<Mutex<VecDeque<(String, Duration)>>>,
}

impl Sessions {
    /// With a key made of the system's secret. They are for [`Sessions::at`] the console's port.
    pub fn new(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = hmac::sign(&root, b"console session");
        Self {
            key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())),
            name: NAME.into(),
            codes: Arc::default(),
        }
    }

    /// The same, for the console at this port.
    pub fn at(&self, port: u16) -> Self {
        let name = format!("{NAME}-{port}").into();
        Self { name, ..self.clone() }
    }

    /// A new code.
    pub(crate) fn code(&self, now: Duration) -> String {
        let code = hex(&SystemEntropy.bytes16());
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.push_back((code.clone(), now + CODE_LIFE));
        if codes.len() > MAX_CODES {
            codes.pop_front();
        }
        code
    }

    /// Takes a code; false when there is none, or none any more.
    pub(crate) fn spend(&self, code: &str, now: Duration) -> bool {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|(_, until)| *until > now);
        let same = |(known, _): &(String, Duration)| verify_slices_are_equal(known.as_bytes(), code.as_bytes()).is_ok();
        let found = codes.iter().position(same);
        found.and_then(|at| codes.remove(at)).is_some()
    }

    /// `Set-Cookie` for one who is let in.
    pub(crate) fn cookie(&self, now: Timestamp) -> HeaderValue {
        let until = now.plus(COOKIE_LIFE).0 / 1_000;
        let claim = format!("{until}.{}", hex(&SystemEntropy.bytes16()));
        let tag = self.tag("cookie", &claim);
        self.set_cookie(&format!("{claim}.{tag}"), COOKIE_LIFE.as_secs())
    }

    /// `Set-Cookie` for one who leaves.
    pub(crate) fn no_cookie(&self) -> HeaderValue {
        self.set_cookie("", 0)
    }

    fn set_cookie(&self, value: &str, seconds: u64) -> HeaderValue {
        let text = format!(
            "{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict",
            self.name
        );
        // Names, hexadecimal and digits only.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    /// The token of this session's writes.
    pub(crate) fn csrf(&self, headers: &HeaderMap, now: Timestamp) -> Option<String> {
        self.claim(headers, now).map(|claim| self.tag("csrf", claim))
    }

    /// What the request's cookie is worth for a request that only reads, or for any other.
    pub(crate) fn standing(&self, headers: &HeaderMap, reads: bool, now: Timestamp) -> Standing {
        let Some(claim) = self.claim(headers, now) else {
            return Standing::Unknown;
        };
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let site = text(HeaderName::from_static("sec-fetch-site"));
        // Another port of this machine is the same site to a browser, and its cookies come along.
        let foreign = matches!(site, Some("cross-site" | "same-site"));
        let token = text(CSRF).unwrap_or_default();
        let is_vouched = || verify_slices_are_equal(token.as_bytes(), self.tag("csrf", claim).as_bytes()).is_ok();
        if foreign || !(reads || is_vouched()) {
            Standing::Forged
        } else {
            Standing::SignedIn
        }
    }

    /// The signed part of a cookie that holds.
    fn claim<'a>(&self, headers: &'a HeaderMap, now: Timestamp) -> Option<&'a str> {
        let cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut pairs = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == &*self.name)?;
        let (claim, tag) = value.rsplit_once('.')?;
        verify_slices_are_equal(tag.as_bytes(), self.tag("cookie", claim).as_bytes()).ok()?;
        let until: i64 = claim.split('.').next()?.parse().ok()?;
        (until > now.0 / 1_000).then_some(claim)
    }

    fn tag(&self, purpose: &str, claim: &str) -> String {
        hex(hmac::sign(&self.key, format!("{purpose} {claim}").as_bytes()).as_ref())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn signed_in(sessions: &Sessions) -> HeaderMap {
        let cookie = sessions.cookie(NOW);
        let pair = cookie
            .to_str()
            .expect("text")
            .split(';')
            .next()
            .expect("a pair")
            .to_owned();
        HeaderMap::from_iter([(header::COOKIE, format!("other=1; {pair}").parse().expect("a value"))])
    }

    #[test]
    fn a_code_opens_once_and_not_for_ever() {
        let sessions = Sessions::new(b"secret").at(7070);
        let code = sessions.code(Duration::ZERO);
        assert!(!sessions.spend("", Duration::ZERO) && !sessions.spend("x", Duration::ZERO));
        assert!(sessions.spend(&code, Duration::ZERO));
        assert!(!sessions.spend(&code, Duration::ZERO));
        let late = sessions.code(Duration::ZERO);
        assert!(!sessions.spend(&late, CODE_LIFE));
        let first = sessions.code(Duration::ZERO);
        (0..MAX_CODES).for_each(|_| drop(sessions.code(Duration::ZERO)));
        assert!(!sessions.spend(&first, Duration::ZERO), "bounded");
    }

    #[test]
    fn a_cookie_reads_and_writes_only_with_its_token_and_from_its_own_pages() {
        let sessions = Sessions::new(b"secret").at(7070);
        let mut headers = signed_in(&sessions);
        assert_eq!(sessions.standing(&headers, true, NOW), Standing::SignedIn);
        assert_eq!(sessions.standing(&headers, false, NOW), Standing::Forged);
        let csrf = sessions.csrf(&headers, NOW).expect("signed in");
        headers.insert(CSRF, csrf.parse().expect("a value"));
        assert_eq!(sessions.standing(&headers, false, NOW), Standing::SignedIn);
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-site"));
        assert_eq!(sessions.standing(&headers, true, NOW), Standing::Forged);
    }

    #[test]
    fn a_cookie_of_another_key_another_port_or_another_week_is_none() {
        let headers = signed_in(&Sessions::new(b"secret").at(7070));
        let later = NOW.plus(COOKIE_LIFE);
        for (sessions, now) in [
            (Sessions::new(b"other").at(7070), NOW),
            (Sessions::new(b"secret").at(7071), NOW),
            (Sessions::new(b"secret").at(7070), later),
        ] {
            assert_eq!(sessions.standing(&headers, true, now), Standing::Unknown);
        }
        let text = headers[header::COOKIE]
            .to_str()
            .expect("text")
            .replacen("=1000", "=9000", 1);
        let torn = HeaderMap::from_iter([(header::COOKIE, text.replace("=6", "=9").parse().expect("a value"))]);
        assert_eq!(
            Sessions::new(b"secret").at(7070).standing(&torn, true, NOW),
            Standing::Unknown
        );
    }
}
