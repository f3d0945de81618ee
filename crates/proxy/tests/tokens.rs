//! Tokens through the whole proxy: keys fetched from their service, identity set for the instance, refusals answered.

mod common;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::*;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::wire::proxy::{Auth, Cache, Issuer, Protocol};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

struct Signer {
    key: EncodingKey,
    jwks: String,
}

impl Signer {
    fn new(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x});
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).expect("PKCS 8");
        Self {
            key: EncodingKey::from_ed_der(der.as_ref()),
            jwks: json!({"keys": [jwk]}).to_string(),
        }
    }

    fn token(&self, kid: &str, scope: &str) -> String {
        let now = SystemClock.wall().0 / 1_000;
        let claims = json!({"iss": "shop", "aud": "shop", "sub": "u1", "scope": scope, "exp": now + 60, "iat": now});
        let header = Header {
            kid: Some(kid.into()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &self.key).expect("a token")
    }
}

fn issuer() -> Issuer {
    Issuer {
        issuer: "shop".into(),
        audience: "shop".into(),
        algorithms: vec!["EdDSA".into()],
        jwks_service: name("users"),
        jwks_path: "/.well-known/jwks.json".into(),
    }
}

#[test]
fn a_token_is_checked_by_the_keys_of_its_issuers_service() {
    let dir = tempfile::tempdir().expect("a folder");
    let (good, foreign) = (Signer::new("k1"), Signer::new("k1"));
    let jwks = good.jwks.clone();
    let users = instance(move |request| {
        assert!(
            request.starts_with("GET /.well-known/jwks.json ") && request.contains("ondol-caller: ondol"),
            "{request}"
        );
        ok(&jwks)
    });
    let mut guarded = route("/api/orders", "orders");
    guarded.auth = Some(Auth {
        issuer: "shop".into(),
        scope: Some("orders:write".into()),
        role: None,
        forward: false,
    });
    let clusters = vec![
        cluster("orders", Protocol::Http1, &[instance(ok)]),
        cluster("users", Protocol::Http1, &[users]),
    ];
    let mut snapshot = snapshot(vec![guarded], vec![], clusters);
    snapshot.issuers.insert("shop".into(), issuer());
    let (running, _controller) = serving(dir.path(), &snapshot);
    let get = |token: &str| {
        let token = if token.is_empty() {
            String::new()
        } else {
            format!("Authorization: Bearer {token}\r\n")
        };
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: a\r\nOndol-Subject: root\r\n{token}\r\n");
        ask(&mut running.client(), &request)
    };
    let seen = get(&good.token("k1", "orders:write orders:read"));
    assert_eq!(
        (field(&seen, "ondol-subject"), field(&seen, "ondol-issuer")),
        (Some("u1"), Some("shop")),
        "{seen}"
    );
    assert_eq!(field(&seen, "ondol-scope"), Some("orders:write orders:read"));
    assert_eq!(
        field(&seen, "authorization"),
        None,
        "the service does not ask for the token"
    );
    for (token, status, code) in [
        (String::new(), "401", "GW-054"),
        (foreign.token("k1", "orders:write"), "401", "GW-055"),
        (good.token("k1", "orders:read"), "403", "GW-057"),
    ] {
        let answer = get(&token);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(code),
            "{answer}"
        );
        assert!(
            field(&answer, "www-authenticate")
                .expect("a challenge")
                .starts_with("Bearer")
        );
        assert!(
            field(&answer, "proxy-status")
                .expect("ours")
                .contains("http_request_denied")
        );
    }
}

#[test]
fn a_kept_answer_is_given_to_the_same_token_bearer_alone_and_to_nobody_without_one() {
    let (dir, signer) = (tempfile::tempdir().expect("a folder"), Signer::new("k1"));
    let jwks = signer.jwks.clone();
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let orders = instance(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        let body = field(request, "ondol-scope").unwrap_or_default();
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=99\r\nContent-Length: {length}\r\n\r\n{body}")
    });
    let mut guarded = route("/api/orders", "orders");
    guarded.auth = Some(Auth {
        issuer: "shop".into(),
        scope: None,
        role: None,
        forward: false,
    });
    guarded.policy.cache = Some(Cache {
        stale_if_error_ms: 60_000,
        stale_while_revalidate_ms: 0,
        shared: false,
    });
    let clusters = vec![
        cluster("orders", Protocol::Http1, &[orders]),
        cluster("users", Protocol::Http1, &[instance(move |_| ok(&jwks))]),
    ];
    let mut snapshot = snapshot(vec![guarded], vec![], clusters);
    snapshot.issuers.insert("shop".into(), issuer());
    let (running, _controller) = serving(dir.path(), &snapshot);
    let get = |token: &str| {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        ask(&mut running.client(), &request)
    };
    let (reads, writes) = (signer.token("k1", "reads"), signer.token("k1", "writes"));
    for (token, calls) in [(&reads, 1), (&writes, 2), (&reads, 2), (&writes, 2)] {
        let answer = get(token);
        let scope = if token == &reads { "reads" } else { "writes" };
        assert!(
            answer.ends_with(scope) && answer.starts_with("HTTP/1.1 200"),
            "{answer}"
        );
        assert_eq!(asked.load(Ordering::SeqCst), calls);
    }
    assert!(
        get("none").starts_with("HTTP/1.1 401"),
        "a kept answer needs a good token too"
    );
}

/// An answer, even of 500, is for the reader of keys to judge and cuts no saga and no push off.
#[test]
fn a_fetch_of_keys_without_an_answer_counts_for_the_breaker() {
    let users = instance(|_| String::new());
    let dir = tempfile::tempdir().expect("a folder");
    let mut to_users = edge("ondol", "users");
    to_users.policy.breaker.minimum = 1;
    let clusters = vec![cluster("users", Protocol::Http1, &[users])];
    let mut snapshot = snapshot(vec![], vec![to_users], clusters);
    snapshot.issuers.insert("shop".into(), issuer());
    let more = |sockets: &Sockets| sockets.unix("edge/ondol/users", &dir.path().join("users"));
    let (_running, mut controller) = serving_with(dir.path(), &snapshot, more);
    let report = controller.report(|report| !report.breakers.is_empty());
    assert_eq!(report.breakers[0].0, name("users"));
}
