//! One JWT: its form, its signature, its claims. Pure: keys and time are given.
//!
//! `jsonwebtoken` checks the signature; the rules around it are here, since it ignores `crit`, takes absent claims for
//! good ones and reads the clock itself. `jku`, `x5u` and `jwk` are never looked at; `kid` is an index and nothing else.
//! Tests: conformance cases in `auth_tests.rs`.

use super::identity::Identity;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use ondol_core::clock::Timestamp;
use ondol_core::wire::proxy as wire;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use std::sync::Arc;

/// The longest token, bytes.
pub(crate) const LONGEST: usize = 8 << 10;
/// How far an issuer's clock may be ahead, milliseconds. There is no such grace at the end.
const AHEAD_MS: i64 = 5_000;
/// The longest subject, bytes.
pub(crate) const LONGEST_SUBJECT: usize = 255;

/// Why a token is not accepted. The text goes to the client: it says nothing that the token does not say itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BadToken {
    #[error("the token is longer than 8 KiB")]
    TooLong,
    #[error("the token is not a signed JWT")]
    Form,
    #[error("the token has a critical extension that is not known")]
    Critical,
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    #[error("the token's key is not known")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has no usable claim {0}")]
    Claim(&'static str),
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is of another issuer")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
}

/// A token taken apart; nothing is believed yet.
pub(crate) struct Parts<'a> {
    signed: &'a str,
    signature: &'a str,
    payload: &'a str,
    /// Which algorithm it claims.
    pub algorithm: Algorithm,
    /// Which key it claims.
    pub kid: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// True for a member that is there, whatever it says.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(from).map(|_| true)
}

/// An algorithm that Ondol accepts from an issuer.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "EdDSA" => Some(Algorithm::EdDSA),
        "ES256" => Some(Algorithm::ES256),
        "RS256" => Some(Algorithm::RS256),
        _ => None,
    }
}

impl<'a> Parts<'a> {
    pub(crate) fn new(token: &'a str) -> Result<Self, BadToken> {
        if token.len() > LONGEST {
            return Err(BadToken::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Form)?;
        let (header, payload) = signed
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or(BadToken::Form)?;
        let header: Header = json(header)?;
        if header.crit {
            return Err(BadToken::Critical);
        }
        let algorithm = algorithm(&header.alg).ok_or(BadToken::Algorithm)?;
        Ok(Self {
            signed,
            signature,
            payload,
            algorithm,
            kid: header.kid,
        })
    }

    /// Whether `key` made the signature.
    pub(crate) fn verify(&self, key: &DecodingKey) -> Result<(), BadToken> {
        let verified = jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key, self.algorithm);
        if matches!(verified, Ok(true)) {
            Ok(())
        } else {
            Err(BadToken::Signature)
        }
    }

    /// The claims; believe them after [`Parts::verify`].
    pub(crate) fn claims(&self, issuer: &wire::Issuer, now: Timestamp) -> Result<(Identity, Timestamp), BadToken> {
        let claims: Claims = json(self.payload)?;
        let ends = millis(claims.exp.ok_or(BadToken::Claim("exp"))?);
        if ends <= now {
            return Err(BadToken::Expired);
        }
        if claims
            .nbf
            .is_some_and(|from| millis(from).0 > now.0.saturating_add(AHEAD_MS))
        {
            return Err(BadToken::NotYet);
        }
        if claims.iss.ok_or(BadToken::Claim("iss"))? != issuer.issuer {
            return Err(BadToken::Issuer);
        }
        if !claims
            .aud
            .ok_or(BadToken::Claim("aud"))?
            .any(|audience| audience == issuer.audience)
        {
            return Err(BadToken::Audience);
        }
        let subject = claims
            .sub
            .filter(|subject| is_subject(subject))
            .ok_or(BadToken::Claim("sub"))?;
        let scope = claims.scope.map_or(Ok(String::new()), |scope| scope.joined("scope"))?;
        let roles = claims.roles.map_or(Ok(String::new()), |roles| roles.joined("roles"))?;
        Ok((
            Identity {
                subject,
                scope,
                roles,
                issuer: Arc::from(issuer.issuer.as_str()),
            },
            ends,
        ))
    }
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, BadToken> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| BadToken::Form)?;
    // JSON is UTF-8 throughout; `from_slice` would pass over other bytes in members that nobody reads.
    let text = std::str::from_utf8(&bytes).map_err(|_| BadToken::Form)?;
    // Serde would also take an array of the members' values, in which no other reader finds them.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(BadToken::Form);
    }
    serde_json::from_str(text).map_err(|_| BadToken::Form)
}

/// The claims that count. A member that comes twice makes the token no JWT: two readers could read two tokens.
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Words>,
    sub: Option<String>,
    scope: Option<Words>,
    roles: Option<Words>,
}

/// A text, or a list of texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    fn any(&self, holds: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(word) => holds(word),
            Self::Many(words) => words.iter().any(|word| holds(word)),
        }
    }

    /// With one space between; words may have no separator or control character in them, since they become a field.
    fn joined(self, claim: &'static str) -> Result<String, BadToken> {
        let words: Vec<&str> = match &self {
            Self::One(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
            Self::Many(words) => words.iter().map(String::as_str).collect(),
        };
        let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        if words.iter().all(is_word) {
            Ok(words.join(" "))
        } else {
            Err(BadToken::Claim(claim))
        }
    }
}

/// Fit for a field: visible, without spaces around it.
fn is_subject(text: &str) -> bool {
    (1..=LONGEST_SUBJECT).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}

/// Seconds, perhaps with a fraction, as a moment. What is no time at all is long ago.
fn millis(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1e3).clamp(0.0, 9e15) as i64)
}
