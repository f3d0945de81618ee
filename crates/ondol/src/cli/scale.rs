//! `ondol restart` and `ondol scale`: ask the controller, then look on until it is so.

use super::admin::Admin;
use super::look::is_broken;
use super::show::{self, RESET};
use crate::home::Home;
use http::Method;
use ondol_core::id::ServiceName;
use ondol_deploy::status::{ServiceState, ServiceStatus};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct RestartArgs {
    /// Which service.
    service: ServiceName,
}

#[derive(clap::Args)]
pub(crate) struct ScaleArgs {
    /// Which service.
    service: ServiceName,
    /// How many instances.
    count: u32,
}

pub(crate) fn restart(home: &Home, args: RestartArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(home)?;
    let path = format!("/v1/services/{}", args.service);
    let before: ServiceStatus = admin.get(&path)?;
    let _: Value = admin.ask(Method::POST, &format!("{path}/restart"), None)?;
    settle(&admin, &path, as_json, |now| now.release != before.release)
}

pub(crate) fn scale(home: &Home, args: ScaleArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(home)?;
    let path = format!("/v1/services/{}", args.service);
    let _: Value = admin.ask(
        Method::PUT,
        &format!("{path}/scale"),
        Some(json!({ "count": args.count })),
    )?;
    settle(&admin, &path, as_json, |now| now.wanted == args.count)
}

/// Looks on until the service is as asked, or will not become so. What it is before it was `taken` on counts for neither: a
/// restart is how one mends a service that fails.
fn settle(
    admin: &Admin,
    path: &str,
    as_json: bool,
    taken: impl Fn(&ServiceStatus) -> bool,
) -> anyhow::Result<ExitCode> {
    let mut last = None;
    loop {
        let now: ServiceStatus = admin.get(path)?;
        let taken = taken(&now);
        let ready = taken && now.state == ServiceState::Ready && now.instances.len() == now.wanted as usize;
        let failed = taken && is_broken(&now);
        if taken && !as_json && last != Some((now.state, now.ready)) {
            let (style, word) = (show::style(now.state), show::word(now.state));
            let why = now.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            anstream::eprintln!("{} {style}{word}{RESET} {}/{}{why}", now.service, now.ready, now.wanted);
        }
        last = taken.then_some((now.state, now.ready));
        if ready || failed {
            if as_json {
                println!("{}", serde_json::to_string_pretty(&now)?);
            }
            return Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
