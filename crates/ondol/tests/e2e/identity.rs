//! Tokens at the gateway, against keys that a service of the system serves.

use crate::system::{System, until};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ondol_core::clock::{Clock, SystemClock};
use serde_json::{Value, json};

const ISSUERS: &str =
    r#"  issuers: { house: { issuer: house, jwks: "svc://hello/jwks", algorithms: [EdDSA], audience: shop } }"#;

const HELLO: &str = "\
env: { JWKS: jwks.json }
routes: [ { match: { prefix: /echo }, auth: { issuer: house, scope: read } } ]";

struct Key {
    pair: Ed25519KeyPair,
    kid: &'static str,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        Self { pair, kid }
    }

    fn set(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x }] })
            .to_string()
    }

    /// A token with these claims instead of the good ones.
    fn token(&self, change: Value) -> String {
        let now = SystemClock.wall().0 / 1_000;
        let mut claims = json!({ "iss": "house", "aud": "shop", "sub": "mina", "scope": "read write", "iat": now, "exp": now + 300 });
        for (name, value) in change.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(json!({ "alg": "EdDSA", "kid": self.kid })), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }
}

#[test]
fn only_a_token_that_is_right_in_everything_passes_and_new_keys_are_found() {
    let (key, foreign, next) = (Key::new("first"), Key::new("first"), Key::new("next"));
    let system = System::new(ISSUERS, &[("hello", HELLO)]);
    system.write("services/hello/jwks.json", &key.set());
    let system = system.up();
    let status = |token: &str| {
        system
            .ask("GET", "/echo", &[("authorization", &format!("Bearer {token}"))], "")
            .status()
    };

    let good = key.token(json!({}));
    // The keys are fetched after the service is ready.
    until("the keys are known", || (status(&good) == 200).then_some(()));
    let past = SystemClock.wall().0 / 1_000 - 300;
    let (head, rest) = good.split_once('.').expect("three parts");
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let cases = [
        ("expired", key.token(json!({ "exp": past })), 401),
        ("without an end", key.token(json!({ "exp": null })), 401),
        ("not yet", key.token(json!({ "nbf": past + 900 })), 401),
        ("another issuer's", key.token(json!({ "iss": "them" })), 401),
        ("for somebody else", key.token(json!({ "aud": "them" })), 401),
        ("signed by a foreign key", foreign.token(json!({})), 401),
        ("with an unknown key", next.token(json!({})), 401),
        (
            "unsigned",
            format!("{none}.{}", rest.split_once('.').expect("two parts").0) + ".",
            401,
        ),
        ("cut", head.to_owned(), 401),
        ("nonsense", "nonsense".to_owned(), 401),
        ("without the scope", key.token(json!({ "scope": "write" })), 403),
    ];
    for (name, token, expected) in cases {
        assert_eq!(status(&token), expected, "a token {name}");
    }
    system.get("/echo").expect(401);

    let seen = system
        .ask("GET", "/echo", &[("authorization", &format!("Bearer {good}"))], "")
        .expect(200)
        .json();
    assert_eq!(seen["fields"]["ondol-subject"], "mina", "{seen}");
    assert_eq!(seen["fields"]["ondol-scope"], "read write");
    assert_eq!(
        seen["fields"]["authorization"],
        Value::Null,
        "the token stays at the gateway"
    );

    system.write("services/hello/jwks.json", &next.set());
    let rotated = next.token(json!({}));
    until("the new key is found", || (status(&rotated) == 200).then_some(()));
}
