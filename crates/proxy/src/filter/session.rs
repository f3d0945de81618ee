//! Sessions: requests that belong together go to the same instance, by a token that the client gives back.
//!
//! After SessionPersistence of the Gateway API (GEP-1619). Nothing is kept here: the token names the instance by a digest,
//! and says when the session began where its length is bounded. A token of an instance that is gone, draining or not well
//! begins a new session, as does one that nobody can read. A client that makes one up chooses its own instance, no more.

use crate::message::Fields;
use aws_lc_rs::digest::{SHA256, digest};
use ondol_core::clock::Timestamp;
use ondol_core::id::InstanceId;
use ondol_core::wire::proxy::{Session, SessionKind};
use std::time::Duration;

/// What an instance is called in tokens. It stays over restarts, as the instance's number does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sticky(u64);

impl Sticky {
    /// The name of this instance.
    pub fn of(instance: &InstanceId) -> Self {
        let mut bytes = [0; 8];
        let digest = digest(&SHA256, instance.to_string().as_bytes());
        bytes.copy_from_slice(&digest.as_ref()[..8]);
        Self(u64::from_be_bytes(bytes))
    }

    /// As a number; hash tables know instances by it.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A session as its token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// With whom.
    pub instance: Sticky,
    /// Since when, in whole seconds.
    began: Timestamp,
}

/// The session that a request belongs to; `None`: none yet, or one that is over.
pub fn read(session: &Session, request: &Fields, now: Timestamp) -> Option<Token> {
    let text = match session.kind {
        SessionKind::Header => request.get_str(&session.name)?,
        SessionKind::Cookie => cookie(request, &session.name)?,
    };
    let (instance, began) = text.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let token = Token {
        instance: Sticky(number(instance)?),
        began: Timestamp(i64::try_from(number(began)?).ok()?.checked_mul(1_000)?),
    };
    let age = now.0.saturating_sub(token.began.0);
    let over = session
        .absolute_timeout_ms
        .is_some_and(|most| !(0..i64::try_from(most).unwrap_or(i64::MAX)).contains(&age));
    (!over).then_some(token)
}

/// Tells the client its session, where that is new: the one with the instance that answered.
pub fn write(
    session: &Session,
    known: Option<Token>,
    instance: Sticky,
    secure: bool,
    now: Timestamp,
    answer: &mut Fields,
) {
    if known.is_some_and(|token| token.instance == instance) {
        return;
    }
    let began = now.0.max(0) / 1_000;
    let text = format!("{:016x}-{began:x}", instance.0);
    let name = &session.name;
    match session.kind {
        SessionKind::Header => answer.set(name, text),
        SessionKind::Cookie => {
            let mut cookie = format!("{name}={text}; Path=/; HttpOnly; SameSite=Lax");
            if secure {
                cookie.push_str("; Secure");
            }
            if let Some(most) = session.absolute_timeout_ms.filter(|_| session.permanent) {
                cookie.push_str(&format!("; Max-Age={}", Duration::from_millis(most).as_secs()));
            }
            answer.push("set-cookie", cookie);
        }
    }
}

/// The first cookie of a name.
pub fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let all = fields.all("cookie").filter_map(|value| std::str::from_utf8(value).ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(own, value)| (own == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn session(kind: SessionKind, most: Option<u64>, permanent: bool) -> Session {
        Session {
            kind,
            name: "sid".into(),
            absolute_timeout_ms: most,
            permanent,
        }
    }

    fn instance(name: &str) -> Sticky {
        Sticky::of(&name.parse().expect("an instance"))
    }

    /// The cookie that a client would give back.
    fn given_back(answer: &Fields) -> Fields {
        let set = answer.get_str("set-cookie").expect("a cookie");
        let pair = set.split(';').next().expect("a pair");
        [("cookie", "a=b; sidx=1"), ("cookie", pair)].into_iter().collect()
    }

    #[test]
    fn a_session_is_told_once_and_found_again() {
        let session = session(SessionKind::Cookie, None, false);
        let mut answer = Fields::new();
        write(&session, None, instance("orders.1"), true, NOW, &mut answer);
        let set = answer.get_str("set-cookie").expect("a cookie").to_owned();
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{set}");
        let token = read(&session, &given_back(&answer), NOW).expect("a session");
        assert_eq!(token.instance, instance("orders.1"));
        let mut second = Fields::new();
        write(&session, Some(token), instance("orders.1"), true, NOW, &mut second);
        assert!(second.is_empty());
        write(&session, Some(token), instance("orders.2"), true, NOW, &mut second);
        assert!(second.contains("set-cookie"));
    }

    #[test]
    fn a_bounded_session_ends_and_a_permanent_cookie_says_when() {
        let session = session(SessionKind::Cookie, Some(60_000), true);
        let mut answer = Fields::new();
        write(&session, None, instance("orders.1"), false, NOW, &mut answer);
        let set = answer.get_str("set-cookie").expect("a cookie");
        assert!(set.ends_with("; SameSite=Lax; Max-Age=60"), "{set}");
        let back = given_back(&answer);
        for (after, lives) in [(0, true), (59_999, true), (60_000, false), (-1_000, false)] {
            let at = Timestamp(NOW.0 + after);
            assert_eq!(read(&session, &back, at).is_some(), lives, "{after}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_session() {
        let session = session(SessionKind::Header, None, false);
        let wrong = [
            "",
            "-",
            "zz-1",
            "1",
            "1-zz",
            "11111111111111111-1",
            "1-ffffffffffffffff",
            "+1-+1-1",
        ];
        for text in wrong {
            let fields: Fields = [("sid", text)].into_iter().collect();
            assert_eq!(read(&session, &fields, NOW), None, "{text}");
        }
    }
}
