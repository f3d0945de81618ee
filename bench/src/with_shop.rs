//! Runs a command against a shop of its own: everything that can run here, on free ports, with fresh state.
//!
//! In the command's words `{gateway}` stands for the gateway's URL and `{system}` for the system's folder; the same are in
//! its environment as `GATEWAY` and `SYSTEM`.

use crate::system::{Part, System};
use anyhow::{Context, bail};
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The command and its words.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let system = System::shop("with-shop", Part::Whole, Default::default())?;
    system.up()?;
    let (gateway, folder) = (format!("http://{}", system.gateway), system.folder.canonicalize()?);
    let folder = folder.to_string_lossy();
    let words: Vec<_> = args
        .command
        .iter()
        .map(|word| word.replace("{gateway}", &gateway).replace("{system}", &folder))
        .collect();
    let (program, rest) = words.split_first().context("no command")?;
    let status = Command::new(program)
        .args(rest)
        .env("GATEWAY", &gateway)
        .env("SYSTEM", &*folder)
        .status();
    let status = status.with_context(|| format!("starting `{program}`"))?;
    if !status.success() {
        bail!("`{}` ended with {status}", words.join(" "));
    }
    Ok(())
}
