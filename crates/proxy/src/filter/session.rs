//! Sessions: requests that belong together go to the same instance, by a token that the client gives back.
//!
//! After SessionPersistence of the Gateway API (GEP-1619). Nothing is kept here: the token names the instance by a digest,
//! when the session began, and when it was last used where that bounds it; each answer then renews it. A token of an
//! instance that is gone, draining or not well begins a new session, as does one that nobody can read. A client that
//! makes one up chooses its own instance, no more.

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
    /// When an answer last told it, in whole seconds; its beginning where idle sessions do not end.
    used: Timestamp,
}

impl Token {
    fn new(instance: Sticky, now: Timestamp) -> Self {
        let now = Timestamp(now.0.max(0) / 1_000 * 1_000);
        Self {
            instance,
            began: now,
            used: now,
        }
    }

    /// `INSTANCE-BEGAN`, and `-USED` where that counts; all hexadecimal.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let instance = Sticky(number(parts.next()?)?);
        let began = seconds(parts.next()?)?;
        let used = parts.next().map_or(Some(began), seconds)?;
        let whole = parts.next().is_none();
        whole.then_some(Self { instance, began, used })
    }

    fn show(&self, idle_ends: bool) -> String {
        let mut text = format!("{:016x}-{:x}", self.instance.0, self.began.0 / 1_000);
        if idle_ends {
            text.push_str(&format!("-{:x}", self.used.0 / 1_000));
        }
        text
    }

    /// Over, or from the future.
    fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        let beyond = |most: Option<u64>, since: Timestamp| {
            let age = now.0.saturating_sub(since.0);
            most.is_some_and(|most| !(0..i64::try_from(most).unwrap_or(i64::MAX)).contains(&age))
        };
        beyond(session.absolute_timeout_ms, self.began) || beyond(session.idle_timeout_ms, self.used)
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit()); // No sign.
    u64::from_str_radix(text, 16).ok().filter(|_| digits)
}

fn seconds(text: &str) -> Option<Timestamp> {
    Some(Timestamp(i64::try_from(number(text)?).ok()?.checked_mul(1_000)?))
}

/// The session that a request belongs to; `None`: none yet, or one that is over.
pub fn read(session: &Session, request: &Fields, now: Timestamp) -> Option<Token> {
    let text = match session.kind {
        SessionKind::Header => request.get_str(&session.name)?,
        SessionKind::Cookie => cookie(request, &session.name)?,
    };
    Token::parse(text).filter(|token| !token.is_over(session, now))
}

/// Tells the client its session, the one with the instance that answered, where it does not know it: it is new, or a token
/// that says when it was used is a second old.
pub fn write(
    session: &Session,
    known: Option<Token>,
    instance: Sticky,
    secure: bool,
    now: Timestamp,
    answer: &mut Fields,
) {
    let mut token = Token::new(instance, now);
    if let Some(known) = known.filter(|known| known.instance == instance) {
        if session.idle_timeout_ms.is_none() || known.used == token.used {
            return;
        }
        token.began = known.began;
    }
    let text = token.show(session.idle_timeout_ms.is_some());
    let name = &session.name;
    match session.kind {
        SessionKind::Header => answer.set(name, text),
        SessionKind::Cookie => {
            let mut cookie = format!("{name}={text}; Path=/; HttpOnly; SameSite=Lax");
            if secure {
                cookie.push_str("; Secure");
            }
            if let Some(most) = session.absolute_timeout_ms.filter(|_| session.permanent) {
                let age = Duration::from_millis(u64::try_from(token.used.0 - token.began.0).unwrap_or_default());
                let left = Duration::from_millis(most).saturating_sub(age);
                cookie.push_str(&format!("; Max-Age={}", left.as_secs()));
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
            idle_timeout_ms: None,
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
    fn an_idle_session_ends_and_each_answer_renews_it() {
        let session = Session {
            idle_timeout_ms: Some(60_000),
            ..session(SessionKind::Cookie, Some(150_000), true)
        };
        let at = |after: i64| Timestamp(NOW.0 + after);
        let tell = |known, now| {
            let mut answer = Fields::new();
            write(&session, known, instance("orders.1"), false, now, &mut answer);
            answer
        };
        let first = given_back(&tell(None, NOW));
        assert!(read(&session, &first, at(59_999)).is_some());
        assert_eq!(read(&session, &first, at(60_000)), None);
        let known = read(&session, &first, at(999));
        assert!(
            known.is_some() && tell(known, at(999)).is_empty(),
            "it is as new as can be"
        );

        // Used after 40 s and after 80 s it lives, until its beginning is too long ago.
        let mut given = first;
        for (now, left) in [(40_000, 110), (80_000, 70), (130_000, 20)] {
            let known = read(&session, &given, at(now));
            let answer = tell(known, at(now));
            let set = answer.get_str("set-cookie").expect("a renewed cookie");
            assert!(set.ends_with(&format!("; Max-Age={left}")), "{now}: {set}");
            given = given_back(&answer);
            assert_eq!(
                read(&session, &given, at(now)).map(|token| token.instance),
                Some(instance("orders.1"))
            );
        }
        assert!(read(&session, &given, at(149_999)).is_some());
        assert_eq!(read(&session, &given, at(150_000)), None);
    }

    #[test]
    fn a_token_is_read_whatever_the_session_asked_of_it_before() {
        let plain = session(SessionKind::Header, None, false);
        let idle = Session {
            idle_timeout_ms: Some(60_000),
            ..plain.clone()
        };
        for (told_by, read_by) in [(&plain, &idle), (&idle, &plain)] {
            let mut answer = Fields::new();
            write(told_by, None, instance("orders.1"), false, NOW, &mut answer);
            let token = read(read_by, &answer, NOW).expect("a session");
            assert_eq!(token.instance, instance("orders.1"));
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
            "1-1-",
            "1-1-zz",
            "1-1-1-1",
            "1-1-ffffffffffffffff",
        ];
        for text in wrong {
            let fields: Fields = [("sid", text)].into_iter().collect();
            assert_eq!(read(&session, &fields, NOW), None, "{text}");
        }
    }
}
