//! An issuer of tokens: an Ed25519 key, its key set, and JWTs that it signs.

use anyhow::Context;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The claims `iss` and `aud`.
pub(super) const NAME: &str = "bench";
/// The key's id.
const KID: &str = "k1";
/// How long a token holds.
const HOLDS: Duration = Duration::from_secs(24 * 3_600);

pub(super) struct Issuer {
    pair: Ed25519KeyPair,
    /// The number of the next token, so that no two are equal.
    next: u64,
}

impl Issuer {
    pub(super) fn new() -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::generate().map_err(|_| anyhow::anyhow!("no key could be made"))?;
        Ok(Self { pair, next: 0 })
    }

    /// Its JSON Web Key Set.
    pub(super) fn key_set(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KID, "x": x});
        json!({ "keys": [key] }).to_string()
    }

    /// A token of this user that nobody has seen.
    pub(super) fn token(&mut self, user: u64) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
        self.next += 1;
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": KID});
        let claims = json!({
            "iss": NAME, "aud": NAME, "sub": format!("user-{user}"), "scope": "orders:read orders:write",
            "iat": now.as_secs(), "exp": (now + HOLDS).as_secs(), "jti": format!("{:032x}", self.next),
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    #[test]
    fn tokens_differ_and_the_key_set_verifies_them() {
        let mut issuer = Issuer::new().expect("a key");
        let set: serde_json::Value = serde_json::from_str(&issuer.key_set()).expect("JSON");
        let x = set["keys"][0]["x"].as_str().expect("a key");
        let key = UnparsedPublicKey::new(&ED25519, URL_SAFE_NO_PAD.decode(x).expect("base64"));
        let (first, second) = (issuer.token(7).expect("a token"), issuer.token(7).expect("a token"));
        assert_ne!(first, second);
        let (signed, signature) = first.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        assert!(key.verify(signed.as_bytes(), &signature).is_ok());
        assert!(key.verify(second.as_bytes(), &signature).is_err());
    }
}
