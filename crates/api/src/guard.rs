//! Who may speak to the admin API: the right `Host` (against DNS rebinding), no foreign `Origin`, the bearer token or
//! the console's cookie.

use crate::console::{self, Standing};
use crate::problem::Problem;
use crate::state::Api;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, header};

/// Open to everybody who reaches the socket.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/sign-in"];

/// Lets a request through or answers 401 or 403.
pub(crate) async fn admin(State(api): State<Api>, request: Request, next: Next) -> Response {
    match check(&api, request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(api: &Api, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !text(header::HOST).is_some_and(|host| api.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))) {
        return Err(Problem::forbidden(format!(
            "this is {}; another Host is not served",
            api.hosts.join(" or ")
        )));
    }
    let own = |origin: &str| {
        origin
            .strip_prefix("http://")
            .is_some_and(|host| api.hosts.iter().any(|h| h == host))
    };
    if headers.contains_key(header::ORIGIN) && !text(header::ORIGIN).is_some_and(own) {
        return Err(Problem::forbidden("requests from other origins are not served"));
    }
    let reads = [Method::GET, Method::HEAD].contains(method);
    if OPEN.contains(&path) || (reads && console::is_page(path)) {
        return Ok(());
    }
    if let Some(token) = text(header::AUTHORIZATION) {
        let token = token.strip_prefix("Bearer ").unwrap_or_default();
        return verify_slices_are_equal(token.as_bytes(), api.admin_token.as_bytes())
            .map_err(|_| Problem::unauthorized("this is not the bearer token of .ondol/token"));
    }
    match api.sessions.standing(headers, reads, api.clock.wall()) {
        Standing::SignedIn => Ok(()),
        Standing::Forged => Err(Problem::forbidden(format!(
            "a write with the console's cookie needs the header {}, from a page of this address",
            console::CSRF
        ))),
        Standing::Unknown => Err(Problem::unauthorized(
            "the bearer token of .ondol/token is needed, or the link that `ondol console` prints",
        )),
    }
}
