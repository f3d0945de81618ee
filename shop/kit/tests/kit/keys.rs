//! A client's `Idempotency-Key`: what `Keys` promises beside the table in its head, which payments' tests go through.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use shop_kit::{Answer, Keys};

use crate::sqlite;

fn key(text: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("idempotency-key".parse().unwrap(), HeaderValue::from_static(text))])
}

fn answer(n: i64) -> Answer {
    Answer {
        status: 201,
        body: json!({ "n": n }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_runs_is_in_progress_until_it_ends() {
    let keys = Keys::default();
    let claim = keys.claim("alice", "POST /a", &key("k"), b"{}").unwrap();
    let second = keys.claim("alice", "POST /a", &key("\"k\""), b"{}").unwrap_err();
    assert_eq!(
        (second.status(), second.reason()),
        (StatusCode::CONFLICT, "in_progress")
    );
    for (subject, route, other) in [
        ("bob", "POST /a", "k"),
        ("alice", "POST /b", "k"),
        ("alice", "POST /a", "l"),
    ] {
        assert!(
            keys.claim(subject, route, &key(other), b"{}").is_ok(),
            "{subject} {route} {other}"
        );
    }
    drop(claim);
    assert!(keys.claim("alice", "POST /a", &key("k"), b"{}").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_forgotten_and_what_commits_is_kept() {
    let (_folder, database) = sqlite(&[Keys::SCHEMA]).await;
    let keys = Keys::default();
    let claim = || keys.claim("alice", "POST /a", &key("k"), b"{}").unwrap();
    for n in [1, 2] {
        // The first try ends without a commit, as by a crash between the key's row and the effect's.
        let (claim, mut tx) = (claim(), database.write().await.unwrap());
        assert_eq!(claim.enter(&mut tx).await.unwrap(), None, "try {n}");
        claim.keep(&mut tx, &answer(n)).await.unwrap();
        if n == 2 {
            tx.commit().await.unwrap();
        }
    }
    let mut tx = database.write().await.unwrap();
    assert_eq!(claim().enter(&mut tx).await.unwrap(), Some(answer(2)));
    let other = keys
        .claim("alice", "POST /a", &key("k"), b"[]")
        .unwrap()
        .enter(&mut tx)
        .await
        .unwrap_err();
    assert_eq!(
        (other.status(), other.reason()),
        (StatusCode::UNPROCESSABLE_ENTITY, "key_reused")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_every_request_is_new() {
    let (_folder, database) = sqlite(&[Keys::SCHEMA]).await;
    let keys = Keys::default();
    for n in [1, 2] {
        let claim = keys.claim("alice", "POST /a", &HeaderMap::new(), b"{}").unwrap();
        let mut tx = database.write().await.unwrap();
        assert_eq!(claim.enter(&mut tx).await.unwrap(), None);
        claim.keep(&mut tx, &answer(n)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[test]
fn a_key_that_is_none_is_refused() {
    for text in ["", "\"\"", "two words", "caf\u{e9}"] {
        let headers = HeaderMap::from_iter([(
            "idempotency-key".parse().unwrap(),
            HeaderValue::from_bytes(text.as_bytes()).unwrap(),
        )]);
        let refused = Keys::default().claim("alice", "POST /a", &headers, b"").unwrap_err();
        assert_eq!(refused.reason(), "bad_idempotency_key", "{text:?}");
    }
}
