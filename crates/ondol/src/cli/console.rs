//! `ondol console`: a link that signs one browser in to the console, once.

use super::admin::Admin;
use super::show::{FAINT, RESET};
use crate::home::Home;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;

#[derive(Deserialize)]
struct Answer {
    path: String,
    expires_in: u64,
}

/// A way in.
pub(crate) struct Link {
    pub(crate) url: String,
    /// Seconds.
    expires_in: u64,
}

pub(crate) fn run(home: &Home, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(home)?;
    let Link { url, expires_in } = link(&admin)?;
    if as_json {
        println!("{}", json!({ "url": url, "expires_in": expires_in }));
    } else {
        println!("{url}");
        anstream::eprintln!(
            "{FAINT}signs one browser in, once, within {} minutes{RESET}",
            expires_in / 60
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A fresh link.
///
/// # Errors
/// When the controller does not answer.
pub(crate) fn link(admin: &Admin) -> anyhow::Result<Link> {
    let Answer { path, expires_in } = admin.ask(Method::POST, "/v1/console/links", None)?;
    let url = format!("http://{}{path}", admin.address());
    Ok(Link { url, expires_in })
}
