//! Tokens: what is taken apart and believed is what the JSON in it says, read by another reader.

use crate::filter::token::{BadToken, LONGEST, LONGEST_SUBJECT, Parts};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use ondol_core::clock::Timestamp;
use ondol_core::wire::proxy::Issuer;
use serde_json::Value;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A token. Text is one as it stands; after a 0 byte come a header, another 0 byte and claims, which are put together.
pub(super) fn token(data: &[u8]) {
    match data.strip_prefix(&[0]) {
        None => {
            if let Ok(text) = std::str::from_utf8(data) {
                take_apart(text);
            }
        }
        Some(rest) => {
            let mut parts = rest.splitn(2, |b| *b == 0);
            believe(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        }
    }
}

/// Takes a token apart: what passes has three parts, and a header with one accepted algorithm and without `crit`.
fn take_apart(text: &str) {
    let Ok(parts) = Parts::new(text) else { return };
    assert!(text.len() <= LONGEST && text.split('.').count() == 3);
    let header = URL_SAFE_NO_PAD
        .decode(text.split('.').next().unwrap_or_default())
        .expect("it was decoded before");
    assert!(std::str::from_utf8(&header).is_ok());
    let Ok(header) = serde_json::from_slice::<Value>(&header) else {
        return; // A number beyond all bounds, which only a reader of all members minds.
    };
    assert!(header.get("crit").is_none());
    let known = [
        ("EdDSA", Algorithm::EdDSA),
        ("ES256", Algorithm::ES256),
        ("RS256", Algorithm::RS256),
    ];
    assert!(
        known
            .iter()
            .any(|(name, algorithm)| header["alg"] == *name && parts.algorithm == *algorithm)
    );
    assert_eq!(parts.kid.as_deref(), header["kid"].as_str());
}

/// Puts a token together, and reads its claims as if its signature were right.
fn believe(header: &[u8], payload: &[u8]) {
    let [header, claims] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    take_apart(&format!("{header}.{claims}.x"));
    let token = format!("{}.{claims}.x", URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA"}"#));
    let issuer = Issuer {
        issuer: "https://issuer".into(),
        audience: "shop".into(),
        algorithms: vec!["EdDSA".into()],
        jwks_service: "users".parse().expect("a name"),
        jwks_path: "/keys".into(),
    };
    let (identity, ends) = match Parts::new(&token).and_then(|parts| parts.claims(&issuer, NOW)) {
        Ok(believed) => believed,
        Err(BadToken::Algorithm | BadToken::Critical) => panic!("the header is ours"),
        Err(_) => return,
    };
    assert!(std::str::from_utf8(payload).is_ok());
    let Ok(claims) = serde_json::from_slice::<Value>(payload) else {
        return;
    };
    assert!(ends > NOW && claims["exp"].as_f64().is_some_and(|exp| exp * 1e3 > NOW.0 as f64));
    assert_eq!(claims["iss"], "https://issuer");
    let audiences = claims["aud"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![claims["aud"].clone()]);
    assert!(audiences.contains(&Value::from("shop")));
    assert_eq!(claims["sub"].as_str(), Some(identity.subject.as_str()));
    assert!((1..=LONGEST_SUBJECT).contains(&identity.subject.len()));
    for text in [&identity.subject, &identity.scope, &identity.roles] {
        assert!(
            !text.chars().any(char::is_control) && text.trim() == text,
            "{text:?} becomes a field"
        );
    }
}
