//! An issuer's keys: fetched from its service, kept, looked up by their id.
//!
//! Invariants
//! - Never two fetches of one issuer within ten seconds of a good one, whatever clients send; after a failed one the
//!   next comes after 250 ms, doubling to ten seconds, with full jitter's upper half, or with the next snapshot.
//! - A key id that a fetch did not bring causes no other fetch for a minute ([`UNKNOWN_FOR`]).
//! - The last good set holds for 24 hours without the service, over restarts of the proxy too (`FOLDER/jwks-NAME.json`).
//! - Symmetric keys and keys for anything but signatures are not taken.

use super::token;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use ondol_core::clock::Timestamp;
use ondol_core::wire::proxy as wire;
use ondol_resilience::backoff;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// Largest key set, bytes.
pub const LARGEST: usize = 256 << 10;
/// Most keys taken from a set.
const MOST: usize = 64;
/// After a good fetch.
const REFRESH: Duration = Duration::from_secs(300);
/// The same when a key is missed.
const SHORTEST: Duration = Duration::from_secs(10);
/// First pause after a failed fetch.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How long an id that a fetch did not bring is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// Ids remembered as unknown.
const MOST_UNKNOWN: usize = 256;
/// How long a set holds without being fetched again.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

/// A key and the one algorithm that it is for.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    pub key: DecodingKey,
}

/// An issuer's keys as last fetched.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    /// Another number, other keys.
    pub generation: u64,
    keys: Vec<Key>,
    fetched_at: Timestamp,
    text: Vec<u8>,
}

impl KeySet {
    /// Whether there are any that still hold.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        !self.keys.is_empty() && now.since(self.fetched_at) < KEPT_FOR
    }

    /// The key of this id; without an id the only one for the algorithm.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fit = self
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm && (kid.is_none() || key.kid.as_deref() == kid));
        match (fit.next(), fit.next()) {
            (Some(key), None) => Some(key),
            (Some(key), Some(_)) if kid.is_some() => Some(key),
            _ => None,
        }
    }

    /// The set that `text` holds, after this one.
    ///
    /// # Errors
    /// It is no key set, or has no key that can be used: then this one stays.
    pub(super) fn next(&self, text: &[u8], at: Timestamp) -> Result<Self, String> {
        if text.len() > LARGEST {
            return Err(format!("the key set has {} bytes, more than {LARGEST}", text.len()));
        }
        let set: Set = serde_json::from_slice(text).map_err(|error| format!("not a key set: {error}"))?;
        let keys: Vec<_> = set.keys.into_iter().filter_map(usable).take(MOST).collect();
        if keys.is_empty() {
            return Err("the key set has no key for EdDSA, ES256 or RS256".into());
        }
        let generation = self.generation + u64::from(self.text != text);
        Ok(Self {
            generation,
            keys,
            fetched_at: at,
            text: text.to_vec(),
        })
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// A key that may check signatures by one of the three algorithms. Others are left out without harm to the rest.
fn usable(jwk: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        _ => return None,
    };
    let named = match jwk.common.key_algorithm {
        None => true,
        Some(KeyAlgorithm::EdDSA) => algorithm == Algorithm::EdDSA,
        Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
        Some(KeyAlgorithm::RS256) => algorithm == Algorithm::RS256,
        Some(_) => false,
    };
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && jwk
            .common
            .key_operations
            .as_ref()
            .is_none_or(|all| all.contains(&KeyOperations::Verify));
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| named && signs)?;
    Some(Key {
        kid: jwk.common.key_id,
        algorithm,
        key,
    })
}

/// When to fetch: pure.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    last: Option<Last>,
    /// Somebody misses a key.
    wanted: bool,
    unknown: HashMap<String, Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Duration,
    /// In a row, until then.
    failures: u32,
    jitter: u64,
}

impl Schedule {
    /// When the next fetch is due.
    pub(super) fn due(&self) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        let pause = match (last.failures, self.wanted) {
            (0, false) => REFRESH,
            (0, true) => SHORTEST,
            (failures, _) => {
                // At least half of the pause, so that a refused connection is not asked for at once.
                let most = backoff::largest(FIRST_PAUSE, SHORTEST, failures - 1);
                most / 2 + backoff::full_jitter(most / 2, most / 2, 0, last.jitter)
            }
        };
        last.at + pause
    }

    /// A token names a key that is not there, or there are none at all (`None`); false when waiting would not help.
    pub(super) fn want(&mut self, kid: Option<&str>, now: Duration, patience: Duration) -> bool {
        if kid
            .and_then(|kid| self.unknown.get(kid))
            .is_some_and(|since| now < *since + UNKNOWN_FOR)
        {
            return false;
        }
        let was = std::mem::replace(&mut self.wanted, true);
        let helps = self.due() <= now + patience;
        // A fetch that could not come in time for this request is no reason for one later.
        self.wanted = was || helps;
        helps
    }

    /// A fetch ended.
    pub(super) fn ended(&mut self, now: Duration, good: bool, jitter: u64) {
        let failures = if good {
            0
        } else {
            self.last.map_or(0, |last| last.failures).saturating_add(1)
        };
        self.last = Some(Last {
            at: now,
            failures,
            jitter,
        });
        self.wanted = false;
    }

    /// What made fetches fail may have changed: the next one is due at once. After a good one nothing changes.
    pub(super) fn hurry(&mut self) {
        self.last.take_if(|last| last.failures > 0);
    }

    /// A good fetch did not bring this id.
    pub(super) fn miss(&mut self, kid: &str, now: Duration) {
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.clear();
        }
        if kid.len() <= token::LONGEST {
            self.unknown.insert(kid.to_owned(), now);
        }
    }
}

/// A set on disk. Only public keys: nobody can do anything with it but check signatures.
#[derive(Serialize, Deserialize)]
struct Kept {
    service: String,
    path: String,
    fetched_at: Timestamp,
    text: String,
}

fn file(folder: &Path, name: &str) -> std::path::PathBuf {
    // An issuer's name is a key of the manifest and may hold anything.
    let safe: String = name
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("_{b:02x}")
            }
        })
        .collect();
    folder.join(format!("jwks-{safe}.json"))
}

/// Writes a set beside the snapshot. Blocks on a small file.
pub(super) fn keep(folder: &Path, name: &str, spec: &wire::Issuer, set: &KeySet) -> std::io::Result<()> {
    let text = String::from_utf8_lossy(&set.text).into_owned();
    let kept = Kept {
        service: spec.jwks_service.to_string(),
        path: spec.jwks_path.clone(),
        fetched_at: set.fetched_at,
        text,
    };
    let (path, bytes) = (file(folder, name), serde_json::to_vec(&kept)?);
    // Two proxies may write it while one hands over to the other.
    let new = path.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&new, bytes)?;
    std::fs::rename(new, path)
}

/// Reads the set that was kept, if it is of the same source and still holds.
pub(super) fn kept(folder: &Path, name: &str, spec: &wire::Issuer, now: Timestamp) -> Option<KeySet> {
    let kept: Kept = serde_json::from_slice(&std::fs::read(file(folder, name)).ok()?).ok()?;
    let same = kept.service == spec.jwks_service.as_str() && kept.path == spec.jwks_path;
    let set = KeySet::default().next(kept.text.as_bytes(), kept.fetched_at).ok()?;
    (same && set.holds(now)).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(2);

    #[test]
    fn good_fetches_are_ten_seconds_apart_whatever_is_asked_for() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due(), Duration::ZERO);
        schedule.ended(100 * SEC, true, 0);
        assert_eq!(schedule.due(), 400 * SEC);
        assert!(!schedule.want(Some("new"), 101 * SEC, PATIENCE), "too soon to help");
        assert_eq!(schedule.due(), 400 * SEC);
        assert!(schedule.want(Some("new"), 109 * SEC, PATIENCE));
        assert_eq!(schedule.due(), 110 * SEC);
    }

    #[test]
    fn failed_fetches_back_off_to_ten_seconds() {
        let mut schedule = Schedule::default();
        for most in [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            schedule.ended(SEC, false, u64::MAX);
            assert_eq!(schedule.due() - SEC, Duration::from_millis(most));
        }
        schedule.ended(SEC, false, 0);
        assert_eq!(schedule.due(), 6 * SEC, "at least half");
        schedule.ended(SEC, true, 0);
        schedule.ended(SEC, false, u64::MAX);
        assert_eq!(schedule.due() - SEC, FIRST_PAUSE);
    }

    #[test]
    fn news_make_a_failed_fetch_due_at_once_and_a_good_one_not() {
        let mut schedule = Schedule::default();
        schedule.ended(SEC, false, u64::MAX);
        schedule.hurry();
        assert_eq!(schedule.due(), Duration::ZERO);
        schedule.ended(2 * SEC, true, 0);
        schedule.hurry();
        assert_eq!(schedule.due(), 302 * SEC);
    }

    #[test]
    fn an_unknown_id_is_asked_for_once_a_minute() {
        let mut schedule = Schedule::default();
        assert!(schedule.want(Some("forged"), SEC, PATIENCE));
        schedule.ended(SEC, true, 0);
        schedule.miss("forged", SEC);
        assert!(!schedule.want(Some("forged"), 59 * SEC, PATIENCE));
        assert!(schedule.want(Some("other"), 59 * SEC, PATIENCE));
        schedule.ended(60 * SEC, true, 0);
        assert!(schedule.want(Some("forged"), 70 * SEC, PATIENCE));
        (0..10_000).for_each(|n| schedule.miss(&n.to_string(), SEC));
        assert!(schedule.unknown.len() <= MOST_UNKNOWN);
    }

    #[test]
    fn only_keys_that_check_signatures_are_taken() {
        const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
        let set = |key: &str| KeySet::default().next(format!(r#"{{"keys":[{key}]}}"#).as_bytes(), Timestamp(1));
        for (key, members, taken) in [
            (ED, "", true),
            (ED, r#","use":"sig","alg":"EdDSA","kid":"1""#, true),
            (ED, r#","key_ops":["verify"]"#, true),
            (EC, r#","alg":"ES256""#, true),
            (ED, r#","use":"enc""#, false),
            (ED, r#","key_ops":["sign"]"#, false),
            (ED, r#","alg":"RS256""#, false),
            (EC, r#","alg":"ES384""#, false),
            (r#"{"kty":"oct","k":"c2VjcmV0""#, r#","alg":"HS256""#, false),
            (
                r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#,
                "",
                false,
            ),
            (r#"{"kty":"new""#, "", false),
        ] {
            assert_eq!(set(&format!("{key}{members}}}")).is_ok(), taken, "{key}{members}");
        }
        assert!(set(&format!("7,{ED}}}")).is_ok(), "one that is nonsense harms no other");
        assert!(KeySet::default().next(b"{}", Timestamp(1)).is_err());
    }

    #[test]
    fn a_kept_set_is_read_back_for_a_day_from_the_same_source_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let text =
            br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"1"}]}"#;
        let spec = wire::Issuer {
            issuer: "shop".into(),
            audience: "shop".into(),
            algorithms: vec!["EdDSA".into()],
            jwks_service: "users".parse().expect("a name"),
            jwks_path: "/keys".into(),
        };
        let set = KeySet::default().next(text, Timestamp(1_000)).expect("a set");
        keep(folder.path(), "my/shop", &spec, &set).expect("written");
        let read = |spec: &wire::Issuer, now| kept(folder.path(), "my/shop", spec, Timestamp(now));
        assert!(read(&spec, 86_400_999).is_some_and(|set| set.find(Some("1"), Algorithm::EdDSA).is_some()));
        assert!(read(&spec, 86_401_000).is_none(), "a day old");
        assert!(
            read(
                &wire::Issuer {
                    jwks_path: "/other".into(),
                    ..spec
                },
                2_000
            )
            .is_none(),
            "another source"
        );
    }
}
