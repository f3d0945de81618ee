//! The console: its pages and who is signed in to them.
//!
//! - `assets.rs`: the pages, embedded in this program
//! - `session.rs`: the link that signs in once, the cookie, the token against forged writes
//!
//! Not here: the data, which the console reads from the admin API like everybody else.

mod assets;
mod session;

use crate::problem::{Answer, Problem};
use crate::state::Api;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};

pub(crate) use assets::{is_page, page};
pub use session::Sessions;
pub(crate) use session::{CSRF, Standing};

/// Who is signed in.
#[derive(Serialize)]
pub(crate) struct Session {
    system: String,
    version: &'static str,
    /// Goes with every write in the header `Ondol-Csrf`.
    csrf: Option<String>,
}

/// The system's name, and the token that writes of this session carry.
#[utoipa::path(get, path = "/v1/console", tag = "console", responses((status = 200, description = "The session."),
    (status = 401, description = "Nobody is signed in.")))]
pub(crate) async fn session(State(api): State<Api>, headers: HeaderMap) -> Json<Session> {
    let (system, version) = (api.deploy.status().system.clone(), env!("CARGO_PKG_VERSION"));
    Json(Session {
        system,
        version,
        csrf: api.sessions.csrf(&headers, api.clock.wall()),
    })
}

/// A way in.
#[derive(Serialize)]
pub(crate) struct Link {
    /// Path and query at this address.
    path: String,
    /// Seconds.
    expires_in: u64,
}

/// A link that signs one browser in, once.
#[utoipa::path(post, path = "/v1/console/links", tag = "console",
    responses((status = 200, description = "The link; it holds for ten minutes.")))]
pub(crate) async fn link(State(api): State<Api>) -> Json<Link> {
    let code = api.sessions.code(api.clock.mono());
    Json(Link {
        path: format!("/sign-in?code={code}"),
        expires_in: session::CODE_LIFE.as_secs(),
    })
}

/// `GET /sign-in?code=`.
#[derive(Deserialize)]
pub(crate) struct SignIn {
    #[serde(default)]
    code: String,
}

/// Takes a link's code once; then goes to the console, signed in. A code that is spent leads to the page that says how
/// to get another one.
#[utoipa::path(get, path = "/sign-in", tag = "console", params(("code" = String, Query)),
    responses((status = 303, description = "To the console.")))]
pub(crate) async fn sign_in(State(api): State<Api>, Query(SignIn { code }): Query<SignIn>) -> Response {
    let mut response = Redirect::to("/").into_response();
    if api.sessions.spend(&code, api.clock.mono()) {
        let cookie = api.sessions.cookie(api.clock.wall());
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// Takes the cookie away.
#[utoipa::path(post, path = "/v1/console/sign-out", tag = "console", responses((status = 204, description = "Done.")))]
pub(crate) async fn sign_out(State(api): State<Api>) -> Response {
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, api.sessions.no_cookie())]).into_response()
}

/// What nothing else answers: the console's pages, else nothing.
pub(crate) async fn otherwise(request: axum::extract::Request) -> Answer<Response> {
    let reads = [http::Method::GET, http::Method::HEAD].contains(request.method());
    match is_page(request.uri().path()) && reads {
        true => Ok(page(request.uri().path(), request.headers())),
        false => Err(Problem::not_found(
            "there is nothing at this path; /openapi.json says what there is",
        )),
    }
}
