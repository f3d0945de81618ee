//! users over HTTP: a real router on a real socket, with a real SQLite, and with a real PostgreSQL where there is one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use shop_kit::Database;
use shop_kit::testing::{Postgres, Said, Service};
use shop_users::{service, store};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

async fn start(database: &str, folder: &Path) -> Service {
    let database = Database::open(database, &store::MIGRATIONS).await.unwrap();
    Service::start(service(database, folder).await.unwrap()).await
}

fn sqlite(folder: &Path) -> String {
    format!("sqlite://{}/users.db", folder.display())
}

#[tokio::test]
async fn who_registers_is_told_of_once_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    who_registers_is_told_of_once(&sqlite(folder.path()), folder.path()).await;
}

#[tokio::test]
async fn who_registers_is_told_of_once_on_postgres() {
    let Some(server) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    who_registers_is_told_of_once(&server.url(), folder.path()).await;
}

async fn who_registers_is_told_of_once(url: &str, folder: &Path) {
    let database = Database::open(url, &store::MIGRATIONS).await.unwrap();
    let service = Service::start(service(database.clone(), folder).await.unwrap()).await;
    let made = register(&service, "k", mina("long enough")).await;
    assert_eq!(
        register(&service, "k", mina("long enough")).await.status,
        201,
        "a repeat"
    );
    assert_eq!(
        register(&service, "other", mina("long enough")).await.status,
        409,
        "the email is taken"
    );
    let select = "SELECT id, type, key, data FROM ondol_outbox ORDER BY seq";
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(select).fetch_all(database.read()).await.unwrap();
    assert_eq!(rows.len(), 3, "the two first accounts and one that registered");
    let (id, kind, key, data) = &rows[2];
    let account = made.body["id"].as_str().unwrap();
    assert_eq!(
        (id.as_str(), kind.as_str()),
        (&*format!("user.registered:{account}"), "user.registered.v1")
    );
    let data: Value = serde_json::from_str(data).unwrap();
    // The id alone: what is published is never deleted.
    assert_eq!((key.as_str(), &data), (account, &json!({ "id": account })));
    let schema = serde_json::from_slice(&std::fs::read(format!("events/{kind}.json")).unwrap()).unwrap();
    assert!(jsonschema::draft202012::new(&schema).unwrap().is_valid(&data), "{data}");
}

async fn fresh() -> (Service, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (start(&sqlite(folder.path()), folder.path()).await, folder)
}

fn mina(password: &str) -> Value {
    json!({"email": "Mina@shop.example", "name": "Mina", "password": password})
}

async fn register(service: &Service, key: &str, body: Value) -> Said {
    let key = [("idempotency-key", key)];
    service
        .ask("POST", "/api/users", if key[0].1.is_empty() { &[] } else { &key }, body)
        .await
}

async fn sign_in(service: &Service, email: &str, password: &str) -> Said {
    service
        .ask(
            "POST",
            "/api/sessions",
            &[],
            json!({"email": email, "password": password}),
        )
        .await
}

/// What a token says, without checking it; the check itself is tested in `token.rs`.
fn claims(said: &Said) -> Value {
    use base64::Engine;
    let token = said.body["token"].as_str().unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload)
            .unwrap(),
    )
    .unwrap()
}

fn reason(said: &Said) -> (u16, &str) {
    (said.status, said.body["reason"].as_str().unwrap_or("-"))
}

async fn a_customer_registers_signs_in_and_is_known(service: &Service) {
    let made = register(service, "", mina("long enough")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(
        made.body,
        json!({"id": id, "email": "mina@shop.example", "name": "Mina"})
    );

    let session = sign_in(service, "MINA@shop.example ", "long enough").await;
    assert_eq!(session.status, 200, "{}", session.body);
    assert_eq!(session.headers["cache-control"], "no-store");
    let claims = claims(&session);
    assert_eq!((claims["sub"].as_str(), &claims["roles"]), (Some(id), &json!([])));
    assert_eq!(claims["scope"], "orders:write wallet:write");

    let me = service.get(id, "/api/users/me").await;
    assert_eq!((me.status, me.body), (200, made.body));
    assert_eq!(service.get("", "/internal/totals").await.body, json!({"users": 3}));
}

#[tokio::test]
async fn a_customer_registers_signs_in_and_is_known_on_sqlite() {
    let (service, _folder) = fresh().await;
    a_customer_registers_signs_in_and_is_known(&service).await;
}

#[tokio::test]
async fn a_customer_registers_signs_in_and_is_known_on_postgresql() {
    let Some(postgres) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    a_customer_registers_signs_in_and_is_known(&start(&postgres.url(), folder.path()).await).await;
}

#[tokio::test]
async fn an_email_has_one_account_however_it_is_written() {
    let (service, _folder) = fresh().await;
    assert_eq!(register(&service, "", mina("long enough")).await.status, 201);
    let again = json!({"email": " mina@SHOP.example", "name": "Other", "password": "long enough"});
    assert_eq!(reason(&register(&service, "", again).await), (409, "email_taken"));
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused() {
    let (service, _folder) = fresh().await;
    let name = json!({"email": "a@shop.example", "name": " ", "password": "long enough"});
    let email = json!({"email": "nobody", "name": "A", "password": "long enough"});
    for bad in [mina("short"), name, email] {
        assert_eq!(reason(&register(&service, "", bad).await), (400, "bad_account"));
    }
    assert_eq!(
        reason(&register(&service, "", json!({"email": "a@b"})).await),
        (400, "bad_body")
    );
}

#[tokio::test]
async fn a_repeated_registration_gets_the_first_answer() {
    let (service, _folder) = fresh().await;
    let first = register(&service, "k1", mina("long enough")).await;
    let again = register(&service, "\"k1\"", mina("long enough")).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
}

#[tokio::test]
async fn a_key_used_with_another_body_is_refused_and_a_password_counts_as_body() {
    let (service, _folder) = fresh().await;
    register(&service, "k1", mina("long enough")).await;
    let other = json!({"email": "other@shop.example", "name": "Mina", "password": "long enough"});
    assert_eq!(reason(&register(&service, "k1", other).await), (422, "key_reused"));
    assert_eq!(
        reason(&register(&service, "k1", mina("other password")).await),
        (422, "key_reused")
    );
}

#[tokio::test]
async fn the_database_holds_no_password_and_no_fast_hash_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&sqlite(folder.path()), &store::MIGRATIONS)
        .await
        .unwrap();
    let service = Service::start(service(database.clone(), folder.path()).await.unwrap()).await;
    register(&service, "k1", mina("long enough")).await;
    register(
        &service,
        "k2",
        json!({"email": "b@shop.example", "name": "B", "password": "something else"}),
    )
    .await;
    let prints: Vec<String> = sqlx::query_scalar("SELECT fingerprint FROM public_keys ORDER BY key")
        .fetch_all(database.read())
        .await
        .unwrap();
    register(
        &service,
        "k3",
        json!({"email": "b@shop.example", "name": "B", "password": "a third one"}),
    )
    .await;
    let third: String = sqlx::query_scalar("SELECT fingerprint FROM public_keys WHERE key = 'k3'")
        .fetch_one(database.read())
        .await
        .unwrap();
    assert_eq!(prints[1], third, "the fingerprint does not depend on the password");
    let stored: Vec<String> = sqlx::query_scalar("SELECT password FROM accounts")
        .fetch_all(database.read())
        .await
        .unwrap();
    assert!(
        stored.iter().all(|password| password.starts_with("$argon2id$")),
        "{stored:?}"
    );
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_email_get_the_same_answer() {
    let (service, _folder) = fresh().await;
    register(&service, "", mina("long enough")).await;
    let wrong = sign_in(&service, "mina@shop.example", "wrong password").await;
    let unknown = sign_in(&service, "nobody@shop.example", "wrong password").await;
    assert_eq!(
        (reason(&wrong), &wrong.body),
        ((401, "wrong_credentials"), &unknown.body)
    );
    assert_eq!(sign_in(&service, "no email", "x").await.body, wrong.body);
}

#[tokio::test]
async fn after_five_wrong_passwords_even_the_right_one_must_wait() {
    let (service, _folder) = fresh().await;
    register(&service, "", mina("long enough")).await;
    for _ in 0..5 {
        assert_eq!(
            sign_in(&service, "mina@shop.example", "wrong password").await.status,
            401
        );
    }
    let locked = sign_in(&service, "mina@shop.example", "long enough").await;
    assert_eq!(reason(&locked), (429, "too_many_attempts"));
    let wait: u32 = locked.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait} s");
    assert_eq!(
        sign_in(&service, "nobody@shop.example", "x").await.status,
        401,
        "others are not locked"
    );
}

#[tokio::test]
async fn a_token_of_an_account_that_is_gone_is_told_so() {
    let (service, _folder) = fresh().await;
    assert_eq!(service.get("no-such-id", "/api/users/me").await.status, 404);
    assert_eq!(service.get("", "/api/users/me").await.status, 401);
}

fn first_accounts(folder: &Path) -> BTreeMap<String, String> {
    serde_json::from_slice(&std::fs::read(folder.join("first-accounts.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn the_first_accounts_can_sign_in_with_what_the_file_says() {
    let (service, folder) = fresh().await;
    let file = folder.path().join("first-accounts.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let accounts = first_accounts(folder.path());
    assert_eq!(
        accounts.keys().collect::<Vec<_>>(),
        ["admin@shop.example", "alice@shop.example"]
    );
    for (email, roles) in [
        ("alice@shop.example", json!([])),
        ("admin@shop.example", json!(["admin"])),
    ] {
        let session = sign_in(&service, email, &accounts[email]).await;
        assert_eq!(claims(&session)["roles"], roles, "{email}");
    }
}

#[tokio::test]
async fn a_restart_changes_neither_first_accounts_nor_key() {
    let (service, folder) = fresh().await;
    let before = (
        first_accounts(folder.path()),
        service.get("", "/.well-known/jwks.json").await.body,
    );
    let service = start(&sqlite(folder.path()), folder.path()).await;
    assert_eq!(
        (
            first_accounts(folder.path()),
            service.get("", "/.well-known/jwks.json").await.body
        ),
        before
    );
    assert_eq!(service.get("", "/internal/totals").await.body, json!({"users": 2}));
}

#[tokio::test]
async fn a_crash_between_the_file_and_the_accounts_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    // What such a crash leaves: the file, and an empty database.
    let file = json!({"admin@shop.example": "one password", "alice@shop.example": "other password"});
    std::fs::write(folder.path().join("first-accounts.json"), file.to_string()).unwrap();
    let service = start(&sqlite(folder.path()), folder.path()).await;
    assert_eq!(
        sign_in(&service, "alice@shop.example", "other password").await.status,
        200
    );
    assert_eq!(
        sign_in(&service, "admin@shop.example", "one password").await.status,
        200
    );
}
