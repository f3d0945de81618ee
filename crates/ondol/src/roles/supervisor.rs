//! The supervisor's role, with controller and proxy as what it keeps running.

use super::RoleArgs;
use anyhow::Context;
use ondol_supervisor::{Config, RoleSpec};
use std::collections::BTreeMap;
use std::process::ExitCode;

pub(super) fn run(args: RoleArgs) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("finding this program")?;
    let role = |name: &str| {
        let mut argv = vec![
            program.to_string_lossy().into_owned(),
            "role".into(),
            name.into(),
            "--root".into(),
        ];
        argv.push(args.root.to_string_lossy().into_owned());
        if args.watch {
            argv.push("--watch".into());
        }
        argv.extend(
            args.only
                .iter()
                .flat_map(|service| ["--only".to_owned(), service.to_string()]),
        );
        anyhow::Ok(RoleSpec {
            name: name.parse()?,
            argv,
            env: BTreeMap::new(),
            announces: name == "proxy",
        })
    };
    let mut config = Config::new(&args.root);
    config.roles = vec![role("controller")?, role("proxy")?];
    ondol_supervisor::run(config).map_err(|error| {
        let code = error.code();
        anyhow::Error::new(error).context(code)
    })?;
    Ok(ExitCode::SUCCESS)
}
