//! Tokens: what the gateway believes of a customer for an hour.
//!
//! A JWT signed with this service's own Ed25519 key. The gateway fetches the public half from `/.well-known/jwks.json` and
//! checks every request by itself; this service is not asked, so that customers stay signed in while it is away.
//!
//! The private key is a file of mode 0600 in the data folder, made at the first start; it is in no database and no log.
//!
//! Tests: below.

use crate::secret_file;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use uuid::Uuid;

/// Name of the key's file in the data folder.
pub const KEY_FILE: &str = "signing-key.pk8";
/// How long a token holds, in seconds.
pub const LIFETIME: i64 = 3600;
/// What every customer may do.
const SCOPE: &str = "orders:write wallet:write";
/// Issuer and audience, as `shop/ondol.yaml` names them.
const SHOP: &str = "shop";

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The account's id.
    pub sub: String,
    /// `shop`.
    pub iss: String,
    /// `shop`.
    pub aud: String,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// From when it holds.
    pub nbf: i64,
    /// Its own number.
    pub jti: String,
    /// What its bearer may do, words separated by spaces.
    pub scope: String,
    /// What its bearer is, such as `admin`.
    pub roles: Vec<String>,
}

/// Signs tokens and shows the key to check them with.
pub struct Signer {
    key: EncodingKey,
    /// The JSON Web Key Set.
    jwks: Value,
    kid: String,
}

impl Signer {
    /// Reads the key in `folder`, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds no key.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let pkcs8 = secret_file::keep(&folder.join(KEY_FILE), || {
            let key = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
            Ok(key.map_err(io::Error::other)?.as_ref().to_vec())
        })?;
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("{KEY_FILE}: {why}")))?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let kid = thumbprint(&x);
        let jwks = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": kid}
        ]});
        Ok(Self {
            key: EncodingKey::from_ed_der(&pkcs8),
            jwks,
            kid,
        })
    }

    /// A token for the account `sub`, from `now` (seconds since 1970) for an hour, and when it ends.
    ///
    /// # Errors
    /// The signature could not be made.
    pub fn sign(&self, sub: &str, roles: Vec<String>, now: i64) -> Result<(String, i64), jsonwebtoken::errors::Error> {
        let exp = now + LIFETIME;
        let claims = Claims {
            sub: sub.to_owned(),
            iss: SHOP.to_owned(),
            aud: SHOP.to_owned(),
            exp,
            iat: now,
            nbf: now,
            jti: Uuid::now_v7().to_string(),
            scope: SCOPE.to_owned(),
            roles,
        };
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        Ok((jsonwebtoken::encode(&header, &claims, &self.key)?, exp))
    }

    /// The public half, for whoever checks tokens.
    pub const fn jwks(&self) -> &Value {
        &self.jwks
    }
}

/// The key's id: its JWK thumbprint (RFC 7638), so that the same key has the same id wherever it is read.
fn thumbprint(x: &str) -> String {
    // Members in alphabetical order and no space: the text itself is what the RFC hashes.
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{DecodingKey, Validation};

    fn check(jwks: &Value, token: &str) -> Result<Claims, jsonwebtoken::errors::Error> {
        let set: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
        let kid = jsonwebtoken::decode_header(token)?.kid.unwrap();
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&["shop"]);
        rules.set_issuer(&["shop"]);
        rules.validate_nbf = true;
        let key = DecodingKey::from_jwk(set.find(&kid).unwrap())?;
        Ok(jsonwebtoken::decode(token, &key, &rules)?.claims)
    }

    fn now() -> i64 {
        jiff::Timestamp::now().as_second()
    }

    #[test]
    fn a_token_checks_against_the_published_key() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::open(folder.path()).unwrap();
        let now = now();
        let (token, ends) = signer.sign("u1", vec!["admin".to_owned()], now).unwrap();
        let claims = check(signer.jwks(), &token).unwrap();
        assert_eq!(
            (claims.sub.as_str(), claims.exp, claims.iat, claims.nbf),
            ("u1", now + 3600, now, now)
        );
        assert_eq!(
            (claims.scope.as_str(), claims.roles, ends),
            (SCOPE, vec!["admin".to_owned()], claims.exp)
        );
    }

    #[test]
    fn a_token_that_has_ended_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::open(folder.path()).unwrap();
        let (token, _) = signer.sign("u1", Vec::new(), now() - 2 * LIFETIME).unwrap();
        assert!(check(signer.jwks(), &token).is_err());
    }

    #[test]
    fn a_token_signed_by_another_key_is_refused() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [ours, theirs] = folders.each_ref().map(|folder| Signer::open(folder.path()).unwrap());
        let forged = Signer {
            kid: ours.kid.clone(),
            ..theirs
        };
        let (token, _) = forged.sign("u1", Vec::new(), now()).unwrap();
        assert!(check(ours.jwks(), &token).is_err());
    }

    #[test]
    fn tokens_hold_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (token, _) = Signer::open(folder.path())
            .unwrap()
            .sign("u1", Vec::new(), now())
            .unwrap();
        assert!(check(Signer::open(folder.path()).unwrap().jwks(), &token).is_ok());
    }

    #[test]
    fn the_public_key_set_shows_no_private_part() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::open(folder.path()).unwrap();
        assert!(signer.jwks()["keys"][0].get("d").is_none());
    }

    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        // RFC 8037, appendix A.3.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        assert_eq!(thumbprint(x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_file_that_holds_no_key_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(KEY_FILE), b"nonsense").unwrap();
        let error = Signer::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains(KEY_FILE), "{error}");
    }
}
