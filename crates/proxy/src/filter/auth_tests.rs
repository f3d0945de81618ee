//! Tokens of all kinds at a guarded route, against keys that a test source serves.

use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use ondol_core::clock::{Clock, Timestamp};
use ondol_core::entropy::SeededEntropy;
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// Wall time at the start of each test, seconds.
const NOW: i64 = 1_800_000_000;

/// A clock that a test moves; the monotonic one follows.
#[derive(Default)]
struct TestClock(AtomicI64);

impl TestClock {
    fn move_on(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp(NOW * 1_000 + self.0.load(Ordering::SeqCst))
    }

    fn mono(&self) -> Duration {
        Duration::from_millis(1_000_000 + self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Keys of the three kinds; making the RSA one takes a while.
struct Pairs {
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

static PAIRS: LazyLock<Pairs> = LazyLock::new(|| Pairs {
    ed: Ed25519KeyPair::generate().expect("a key"),
    ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"),
    rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
});

impl Pairs {
    fn sign(&self, algorithm: &str, text: &str) -> Vec<u8> {
        let (random, bytes) = (SystemRandom::new(), text.as_bytes());
        match algorithm {
            "EdDSA" => self.ed.sign(bytes).as_ref().to_vec(),
            "ES256" => self.ec.sign(&random, bytes).expect("signed").as_ref().to_vec(),
            "RS256" => {
                let mut out = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &random, bytes, &mut out)
                    .expect("signed");
                out
            }
            // What an attacker would do who takes the public key for a shared secret.
            "HS256" => {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                aws_lc_rs::hmac::sign(&key, bytes).as_ref().to_vec()
            }
            _ => vec![],
        }
    }

    /// All three as a set, with the kids `ed`, `ec` and `rsa`.
    fn set(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let rsa: aws_lc_rs::rsa::PublicKeyComponents<Vec<u8>> = self.rsa.public_key().into();
        json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(self.ed.public_key())},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "x": encode(&point[1..33]), "y": encode(&point[33..])},
            {"kty": "RSA", "kid": "rsa", "n": encode(rsa.n), "e": encode(rsa.e)},
            {"kty": "oct", "kid": "oct", "k": encode(self.ed.public_key()), "alg": "HS256"},
        ]})
    }
}

fn claims() -> Value {
    json!({"iss": "shop", "aud": "shop", "sub": "u1", "exp": NOW + 3_600, "scope": "orders:write a", "roles": ["admin"]})
}

fn token_of(header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = PAIRS.sign(header["alg"].as_str().unwrap_or_default(), &signed);
    format!("{signed}.{}", encode(signature))
}

/// The claims with changes; `null` takes one away.
fn claiming(changes: Value) -> String {
    let mut all = claims();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(all.as_object_mut().expect("an object").remove(name)),
            value => all[name] = value.clone(),
        }
    }
    token_of(&json!({"alg": "EdDSA", "kid": "ed"}), &all)
}

fn issuer() -> wire::Issuer {
    wire::Issuer {
        issuer: "shop".into(),
        audience: "shop".into(),
        algorithms: ["EdDSA", "ES256", "RS256"].map(String::from).to_vec(),
        jwks_service: "users".parse().expect("a name"),
        jwks_path: "/keys".into(),
    }
}

/// Serves what it holds; `None` fails.
#[derive(Clone, Default)]
struct Source {
    set: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
    /// A fetch that fails takes longer than anybody waits.
    slow: Option<Arc<TestClock>>,
}

impl KeySource for Source {
    async fn fetch(&self, service: &ServiceName, path: &str) -> Result<Bytes, String> {
        assert_eq!((service.as_str(), path), ("users", "/keys"));
        self.asked.fetch_add(1, Ordering::SeqCst);
        let set = lock(&self.set).clone();
        if let (None, Some(clock)) = (&set, &self.slow) {
            clock.move_on(3);
        }
        set.map(|set| set.to_string().into())
            .ok_or_else(|| "refused".to_owned())
    }
}

struct World {
    clock: Arc<TestClock>,
    source: Source,
    authority: Arc<Authority>,
    auth: wire::Auth,
}

impl World {
    fn new(set: Option<Value>) -> Self {
        Self::with_folder(set, None)
    }

    fn with_folder(set: Option<Value>, folder: Option<PathBuf>) -> Self {
        let clock = Arc::new(TestClock::default());
        let source = Source::default();
        *lock(&source.set) = set;
        let authority = Arc::new(Authority::new(clock.clone(), Arc::new(SeededEntropy::new(1)), folder));
        authority.apply(&BTreeMap::from([("shop".to_owned(), issuer())]));
        let auth = wire::Auth {
            issuer: "shop".into(),
            scope: None,
            role: None,
            forward: false,
        };
        Self {
            clock,
            source,
            authority,
            auth,
        }
    }

    fn guard(&self) -> Guard {
        self.authority.guard(&self.auth).expect("a known issuer")
    }

    /// Lets a request with this `Authorization` in while the keys are kept.
    async fn admit(&self, authorization: &str) -> (RequestHead, Result<Arc<Identity>, Denied>) {
        let mut head = RequestHead::new(Method::GET, "shop.example", "/").expect("valid");
        head.fields.push("authorization", authorization);
        let guard = self.guard();
        let result = tokio::select! {
            result = guard.admit(&mut head) => result,
            () = self.authority.keep_keys(self.source.clone()) => unreachable!("it never ends"),
        };
        (head, result)
    }

    async fn admit_token(&self, token: &str) -> Result<Arc<Identity>, Denied> {
        self.admit(&format!("Bearer {token}")).await.1
    }

    /// The reason for which a token is refused.
    async fn refusal(&self, token: &str) -> String {
        let denied = self.admit_token(token).await.expect_err("refused");
        assert_eq!(
            (denied.status, denied.code.as_str()),
            (StatusCode::UNAUTHORIZED, "GW-055"),
            "{}",
            denied.detail
        );
        let challenge = format!(
            "Bearer realm=\"shop\", error=\"invalid_token\", error_description=\"{}\"",
            denied.detail
        );
        assert_eq!(denied.fields[..], [("www-authenticate", challenge)]);
        denied.detail
    }
}

#[tokio::test]
async fn tokens_of_all_three_algorithms_are_accepted() {
    let world = World::new(Some(PAIRS.set()));
    for (algorithm, kid) in [("EdDSA", "ed"), ("ES256", "ec"), ("RS256", "rsa")] {
        for header in [
            json!({"alg": algorithm, "kid": kid, "typ": "JWT"}),
            json!({"alg": algorithm}),
        ] {
            let identity = world
                .admit_token(&token_of(&header, &claims()))
                .await
                .expect("accepted");
            assert_eq!(
                (
                    identity.subject.as_str(),
                    identity.scope.as_str(),
                    identity.roles.as_str()
                ),
                ("u1", "orders:write a", "admin")
            );
        }
    }
}

#[tokio::test]
async fn the_service_learns_who_it_is_and_gets_the_token_only_where_asked_for() {
    let mut world = World::new(Some(PAIRS.set()));
    for forward in [false, true] {
        world.auth.forward = forward;
        let (head, result) = world.admit(&format!("bearer  {}", claiming(json!({})))).await;
        assert!(result.is_ok());
        let names: Vec<_> = head.fields.iter().map(|(name, _)| name.to_owned()).collect();
        let set = ["ondol-subject", "ondol-issuer", "ondol-scope", "ondol-roles"];
        assert_eq!(
            names,
            if forward {
                [&["authorization"][..], &set].concat()
            } else {
                set.to_vec()
            }
        );
    }
}

#[tokio::test]
async fn a_request_without_one_bearer_token_is_asked_for_it() {
    let world = World::new(Some(PAIRS.set()));
    for authorization in ["", "Basic dTpw", "Bearer", "Bearer ", "Token abc"] {
        let (_, result) = world.admit(authorization).await;
        let denied = result.expect_err(authorization);
        assert_eq!(
            (denied.status, denied.code.as_str()),
            (StatusCode::UNAUTHORIZED, "GW-054")
        );
        assert_eq!(
            denied.fields[..],
            [("www-authenticate", "Bearer realm=\"shop\"".to_owned())]
        );
    }
    let mut head = RequestHead::new(Method::GET, "shop.example", "/").expect("valid");
    let good = format!("Bearer {}", claiming(json!({})));
    head.fields.push("authorization", &good);
    head.fields.push("authorization", &good);
    assert_eq!(
        world.guard().admit(&mut head).await.expect_err("two").code.as_str(),
        "GW-054"
    );
}

#[tokio::test]
async fn claims_that_are_missing_or_wrong_are_refused() {
    let world = World::new(Some(PAIRS.set()));
    for (changes, reason) in [
        (json!({"exp": null}), "the token has no usable claim exp"),
        (json!({"exp": NOW}), "the token has expired"),
        (json!({"exp": -1}), "the token has expired"),
        (json!({"exp": "soon"}), "the token is not a signed JWT"),
        (json!({"nbf": NOW + 6}), "the token is not valid yet"),
        (json!({"iss": null}), "the token has no usable claim iss"),
        (json!({"iss": "other"}), "the token is of another issuer"),
        (json!({"iss": ["shop"]}), "the token is not a signed JWT"),
        (json!({"aud": null}), "the token has no usable claim aud"),
        (json!({"aud": "other"}), "the token is for another audience"),
        (json!({"aud": []}), "the token is for another audience"),
        (json!({"sub": null}), "the token has no usable claim sub"),
        (json!({"sub": ""}), "the token has no usable claim sub"),
        (
            json!({"sub": "a\r\nondol-roles: admin"}),
            "the token has no usable claim sub",
        ),
        (json!({"roles": ["a b"]}), "the token has no usable claim roles"),
        (json!({"roles": ["a,b"]}), "the token has no usable claim roles"),
        (json!({"scope": "a\nb"}), "the token has no usable claim scope"),
    ] {
        assert_eq!(world.refusal(&claiming(changes.clone())).await, reason, "{changes}");
    }
    for changes in [
        json!({"nbf": NOW + 4}),
        json!({"exp": NOW as f64 + 0.5}),
        json!({"aud": ["other", "shop"]}),
        json!({"scope": null, "roles": null}),
        json!({"roles": "admin  clerk"}),
        json!({"sub": "김"}),
    ] {
        assert!(world.admit_token(&claiming(changes.clone())).await.is_ok(), "{changes}");
    }
}

#[tokio::test]
async fn headers_that_lie_are_refused() {
    let world = World::new(Some(PAIRS.set()));
    for (header, reason) in [
        (json!({"alg": "none"}), "the token's algorithm is not accepted"),
        (
            json!({"alg": "HS256", "kid": "ed"}),
            "the token's algorithm is not accepted",
        ),
        (
            json!({"alg": "HS256", "kid": "oct"}),
            "the token's algorithm is not accepted",
        ),
        (json!({"alg": "RS256", "kid": "ed"}), "the token's key is not known"),
        (
            json!({"alg": "EdDSA", "kid": "ed", "crit": ["exp"]}),
            "the token has a critical extension that is not known",
        ),
        (
            json!({"alg": "EdDSA", "kid": "ed", "crit": null}),
            "the token has a critical extension that is not known",
        ),
        (
            json!({"alg": "EdDSA", "kid": "../../etc/passwd"}),
            "the token's key is not known",
        ),
        (
            json!({"alg": "EdDSA", "kid": "new", "jku": "http://evil.example/keys"}),
            "the token's key is not known",
        ),
        (json!({"kid": "ed"}), "the token is not a signed JWT"),
        (json!(["EdDSA", "ed"]), "the token is not a signed JWT"),
    ] {
        assert_eq!(world.refusal(&token_of(&header, &claims())).await, reason, "{header}");
    }
    let named = claims();
    let listed: Vec<_> = ["exp", "nbf", "iss", "aud", "sub", "scope", "roles"]
        .map(|name| named[name].clone())
        .into();
    let token = token_of(&json!({"alg": "EdDSA", "kid": "ed"}), &listed.into());
    assert_eq!(
        world.refusal(&token).await,
        "the token is not a signed JWT",
        "claims without names"
    );
}

#[tokio::test]
async fn tokens_that_were_tampered_with_are_refused() {
    let world = World::new(Some(PAIRS.set()));
    let good = claiming(json!({}));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let other = encode(claims().to_string().replace("u1", "u2"));
    let twice = encode(
        claims()
            .to_string()
            .replace("\"sub\":\"u1\"", "\"sub\":\"u1\",\"sub\":\"u2\""),
    );
    let twice_signed = {
        let signed = format!("{header}.{twice}");
        format!("{signed}.{}", encode(PAIRS.sign("EdDSA", &signed)))
    };
    let long = format!("{header}.{}.{signature}", encode([b'x'; 8 << 10]));
    for (token, reason) in [
        (
            format!("{header}.{other}.{signature}"),
            "the token's signature is wrong",
        ),
        (format!("{header}.{payload}."), "the token's signature is wrong"),
        (
            format!("{header}.{payload}.{}", encode([0; 64])),
            "the token's signature is wrong",
        ),
        (twice_signed, "the token is not a signed JWT"),
        (format!("{header}.{payload}"), "the token is not a signed JWT"),
        (format!("{good}.{signature}"), "the token is not a signed JWT"),
        (
            format!("{header}=.{payload}.{signature}"),
            "the token is not a signed JWT",
        ),
        ("abc".to_owned(), "the token is not a signed JWT"),
        (long, "the token is longer than 8 KiB"),
    ] {
        assert_eq!(world.refusal(&token).await, reason, "{token:.80}");
    }
}

#[tokio::test]
async fn an_issuer_accepts_only_its_own_algorithms() {
    let world = World::new(Some(PAIRS.set()));
    let strict = wire::Issuer {
        algorithms: vec!["ES256".into()],
        ..issuer()
    };
    world.authority.apply(&BTreeMap::from([("shop".to_owned(), strict)]));
    assert_eq!(
        world.refusal(&claiming(json!({}))).await,
        "the token's algorithm is not accepted"
    );
}

#[tokio::test]
async fn scope_and_role_are_asked_for_after_the_token() {
    let mut world = World::new(Some(PAIRS.set()));
    let token = claiming(json!({}));
    for (scope, role, missing) in [
        (Some("orders:write"), None, None),
        (None, Some("admin"), None),
        (Some("a"), Some("admin"), None),
        (Some("orders"), None, Some("scope orders")),
        (Some("a"), Some("clerk"), Some("role clerk")),
    ] {
        (world.auth.scope, world.auth.role) = (scope.map(String::from), role.map(String::from));
        let result = world.admit_token(&token).await;
        let Some(missing) = missing else {
            assert!(result.is_ok());
            continue;
        };
        let denied = result.expect_err(missing);
        assert_eq!((denied.status, denied.code.as_str()), (StatusCode::FORBIDDEN, "GW-057"));
        assert_eq!(denied.detail, format!("this route needs the {missing}"));
        assert!(
            denied.fields[0]
                .1
                .starts_with("Bearer realm=\"shop\", error=\"insufficient_scope\", scope=")
        );
    }
}

#[tokio::test]
async fn a_remembered_token_ends_when_it_expires() {
    let world = World::new(Some(PAIRS.set()));
    let token = claiming(json!({"exp": NOW + 100}));
    assert!(world.admit_token(&token).await.is_ok());
    world.clock.move_on(99);
    assert!(world.admit_token(&token).await.is_ok());
    world.clock.move_on(1);
    assert_eq!(world.refusal(&token).await, "the token has expired");
}

#[tokio::test]
async fn a_remembered_token_ends_when_the_keys_change() {
    let world = World::new(Some(PAIRS.set()));
    let token = claiming(json!({}));
    assert!(world.admit_token(&token).await.is_ok());
    // The key is gone from the set; the next fetch is due after five minutes.
    let mut set = PAIRS.set();
    set["keys"][0]["kid"] = json!("other");
    set["keys"][0]["x"] = json!(encode(Ed25519KeyPair::generate().expect("a key").public_key()));
    *lock(&world.source.set) = Some(set);
    world.clock.move_on(301);
    let mut fetched = world.guard().issuer.fetched.subscribe();
    tokio::select! {
        changed = fetched.changed() => changed.expect("fetched"),
        () = world.authority.keep_keys(world.source.clone()) => unreachable!("it never ends"),
    }
    assert_eq!(world.refusal(&token).await, "the token's key is not known");
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_a_forged_one_once() {
    let mut old = PAIRS.set();
    old["keys"].as_array_mut().expect("keys").remove(0);
    let world = World::new(Some(old));
    let with_ec = token_of(&json!({"alg": "ES256", "kid": "ec"}), &claims());
    assert!(world.admit_token(&with_ec).await.is_ok());
    *lock(&world.source.set) = Some(PAIRS.set());
    assert_eq!(
        world.refusal(&claiming(json!({}))).await,
        "the token's key is not known"
    );
    assert_eq!(
        world.source.asked.load(Ordering::SeqCst),
        1,
        "within ten seconds of a good fetch there is no other"
    );
    world.clock.move_on(10);
    assert!(world.admit_token(&claiming(json!({}))).await.is_ok());
    world.clock.move_on(10);
    let forged = token_of(&json!({"alg": "EdDSA", "kid": "forged"}), &claims());
    assert_eq!(world.refusal(&forged).await, "the token's key is not known");
    world.clock.move_on(10);
    assert_eq!(world.refusal(&forged).await, "the token's key is not known");
    assert_eq!(
        world.source.asked.load(Ordering::SeqCst),
        3,
        "once at the start, once for the new key, once for the forged"
    );
}

#[tokio::test]
async fn without_any_keys_requests_are_told_to_come_back() {
    let mut world = World::new(None);
    world.source.slow = Some(world.clock.clone());
    let denied = world.admit_token(&claiming(json!({}))).await.expect_err("no keys");
    assert_eq!(
        (denied.status, denied.code.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "GW-056")
    );
    assert_eq!(
        (denied.word, &denied.fields[0]),
        (Word::ProxyInternalError, &("retry-after", "1".to_owned()))
    );
    *lock(&world.source.set) = Some(PAIRS.set());
    world.clock.move_on(10);
    assert!(
        world.admit_token(&claiming(json!({}))).await.is_ok(),
        "as soon as there are some"
    );
}

#[tokio::test]
async fn the_last_good_keys_hold_for_a_day_and_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = || Some(folder.path().to_owned());
    let token = claiming(json!({"exp": NOW + 200_000}));
    assert!(
        World::with_folder(Some(PAIRS.set()), path())
            .admit_token(&token)
            .await
            .is_ok()
    );
    let world = World::with_folder(None, path());
    assert!(world.admit_token(&token).await.is_ok(), "kept on disk");
    world.clock.move_on(86_399);
    assert!(world.admit_token(&token).await.is_ok());
    world.clock.move_on(1);
    assert_eq!(
        world.guard().issuer.verify(&token, world.clock.wall()).map_err(|_| ()),
        Err(()),
        "a day is over"
    );
}

#[tokio::test]
async fn issuers_that_stay_keep_their_keys_and_others_go() {
    let world = World::new(Some(PAIRS.set()));
    assert!(world.admit_token(&claiming(json!({}))).await.is_ok());
    let before = world.guard().issuer;
    world.authority.apply(&BTreeMap::from([
        ("shop".to_owned(), issuer()),
        ("other".to_owned(), issuer()),
    ]));
    assert!(Arc::ptr_eq(&before, &world.guard().issuer));
    world.authority.apply(&BTreeMap::new());
    assert!(world.authority.guard(&world.auth).is_none());
}
