//! The routes of users: register, sign in, who am I, the key set, totals.
//!
//! Tests: `tests/http.rs`.

use crate::account;
use crate::attempts::Attempts;
use crate::password::{PasswordError, Passwords};
use crate::store::{Account, Store, add};
use crate::token::Signer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use shop_kit::{Answer, Caller, JsonBody, Keys, Problem, reply};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What the handlers share.
pub struct Users {
    store: Store,
    keys: Keys,
    passwords: Passwords,
    signer: Signer,
    attempts: Mutex<Attempts>,
}

impl Users {
    /// From its parts.
    pub fn new(store: Store, passwords: Passwords, signer: Signer) -> Self {
        Self {
            store,
            keys: Keys::default(),
            passwords,
            signer,
            attempts: Mutex::default(),
        }
    }

    /// May a password for `email` be tried now?
    fn may_try(&self, email: &str) -> Result<(), Problem> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.check(email, Instant::now()).map_err(locked)
    }
}

#[derive(Deserialize)]
struct NewUser {
    email: String,
    name: String,
    password: String,
}

#[derive(Deserialize)]
struct SignIn {
    email: String,
    password: String,
}

/// All routes.
pub fn routes(users: Arc<Users>) -> Router {
    Router::new()
        .route("/api/users", post(register))
        .route("/api/users/me", get(me))
        .route("/api/sessions", post(sign_in))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/internal/totals", get(totals))
        .with_state(users)
}

async fn register(
    State(users): State<Arc<Users>>,
    headers: HeaderMap,
    body: JsonBody<NewUser>,
) -> Result<Response, Problem> {
    let NewUser { email, name, password } = body.value;
    let bad = |what: &'static str| Problem::bad_request("bad_account", what);
    let (email, name) = (account::email(&email).map_err(bad)?, account::name(&name).map_err(bad)?);
    account::password(&password).map_err(bad)?;

    // The fingerprint that is kept with the key leaves the password out: it is a fast hash, and a password's only place
    // is in a slow one. Whether a repeat brings the same password is asked of the account instead.
    let claim = users
        .keys
        .claim("", "POST /api/users", &headers, format!("{email}\n{name}").as_bytes())?;
    // Hashed before the transaction begins: nobody else's write should wait for that.
    let hash = users.passwords.hash(password.clone()).await.map_err(unhashed)?;
    let mut tx = users.store.database.write().await?;
    if let Some(answer) = claim.enter(&mut tx).await? {
        drop(tx);
        return repeated(&users, &email, password, answer).await;
    }
    let account = Account {
        id: Uuid::now_v7().to_string(),
        email,
        name,
        password: hash,
        roles: Vec::new(),
    };
    let answer = if add(&mut tx, &account, jiff::Timestamp::now().as_second()).await? {
        Answer {
            status: 201,
            body: public(&account),
        }
    } else {
        Problem::conflict("email_taken", "There is an account with this email").answer()
    };
    claim.keep(&mut tx, &answer).await?;
    tx.commit().await?;
    Ok(reply(answer))
}

/// The answer to a registration that was sent before, for whoever knows the password that was set then.
async fn repeated(users: &Users, email: &str, password: String, answer: Answer) -> Result<Response, Problem> {
    if answer.status == 201 {
        let stored = users.store.by_email(email).await?.map(|account| account.password);
        if !users.passwords.check(password, stored).await.map_err(unhashed)? {
            let title = "This Idempotency-Key was used with another body; take a new key for a new request";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", title));
        }
    }
    Ok(reply(answer))
}

async fn sign_in(State(users): State<Arc<Users>>, body: JsonBody<SignIn>) -> Result<Response, Problem> {
    let SignIn { email, password } = body.value;
    // What can be no account's email or password is refused without the work; that tells nothing about accounts.
    let email = account::email(&email).map_err(|_| wrong())?;
    users.may_try(&email)?;
    if password.len() > account::LONGEST_PASSWORD {
        return Err(wrong());
    }
    let account = users.store.by_email(&email).await?;
    let hash = account.as_ref().map(|account| account.password.clone());
    let right = users.passwords.check(password, hash).await.map_err(unhashed)?;
    let Some(account) = account.filter(|_| right) else {
        users
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wrong(&email, Instant::now());
        return Err(wrong());
    };
    // Again: while this one was checked, others may have used up the five.
    users.may_try(&email)?;
    users
        .attempts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .right(&email);

    let now = jiff::Timestamp::now();
    let signed = users.signer.sign(&account.id, account.roles, now.as_second());
    let (token, exp) = signed.map_err(|error| Problem::internal(&error))?;
    let expires_at = jiff::Timestamp::from_second(exp).map_err(|error| Problem::internal(&error))?;
    let body = Json(json!({"token": token, "expires_at": expires_at.to_string()}));
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}

async fn me(State(users): State<Arc<Users>>, caller: Caller) -> Result<Json<Value>, Problem> {
    let account = users.store.by_id(&caller.subject).await?;
    let account = account.ok_or_else(|| Problem::not_found("There is no account for this token any more"))?;
    Ok(Json(public(&account)))
}

async fn jwks(State(users): State<Arc<Users>>) -> Response {
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        Json(users.signer.jwks().clone()),
    )
        .into_response()
}

async fn totals(State(users): State<Arc<Users>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({"users": users.store.count().await?})))
}

/// What others may see of an account.
fn public(account: &Account) -> Value {
    json!({"id": account.id, "email": account.email, "name": account.name})
}

/// One answer for both, so that it does not tell which emails have accounts.
fn wrong() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong_credentials",
        "Email or password is wrong",
    )
}

fn locked(wait: Duration) -> Problem {
    let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(60);
    let title = "Too many wrong passwords for this email";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", title).retry_after(seconds)
}

fn unhashed(error: PasswordError) -> Problem {
    match error {
        PasswordError::Busy => Problem::unavailable("busy", "Too many people are signing in at this moment", 1),
        PasswordError::Broken(_) => Problem::internal(&error),
    }
}
