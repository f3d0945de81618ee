//! `ondol restart` and `ondol scale`: ask the controller, then look on until it is so.

use super::admin::Admin;
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
    settle(&admin, &path, as_json, |now| {
        now.release != before.release && now.instances.len() == now.wanted as usize
    })
}

pub(crate) fn scale(home: &Home, args: ScaleArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(home)?;
    let path = format!("/v1/services/{}", args.service);
    let _: Value = admin.ask(
        Method::PUT,
        &format!("{path}/scale"),
        Some(json!({ "count": args.count })),
    )?;
    settle(&admin, &path, as_json, |now| {
        now.wanted == args.count && now.instances.len() == args.count as usize
    })
}

/// Looks on until the service is ready and `done`, or failing.
fn settle(admin: &Admin, path: &str, as_json: bool, done: impl Fn(&ServiceStatus) -> bool) -> anyhow::Result<ExitCode> {
    let mut last = None;
    loop {
        let now: ServiceStatus = admin.get(path)?;
        let ready = now.state == ServiceState::Ready && done(&now);
        let failed = matches!(now.state, ServiceState::Failing | ServiceState::BuildFailed);
        if !as_json && last != Some((now.state, now.ready)) {
            let (style, word) = (show::style(now.state), show::word(now.state));
            let why = now.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            anstream::eprintln!("{} {style}{word}{RESET} {}/{}{why}", now.service, now.ready, now.wanted);
        }
        last = Some((now.state, now.ready));
        if ready || failed {
            if as_json {
                println!("{}", serde_json::to_string_pretty(&now)?);
            }
            return Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
