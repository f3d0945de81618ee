//! `ondol schema KIND`: JSON Schema for editors.

use clap::ValueEnum;
use ondol_manifest::FileKind;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which file.
    #[arg(default_value = "system")]
    kind: Kind,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// `ondol.yaml`
    System,
    /// `service.yaml`
    Service,
    /// `NAME.saga.yaml`
    Saga,
    /// `NAME.reconcile.yaml`
    Reconcile,
    /// `NAME.examples.yaml`
    Examples,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let kind = match args.kind {
        Kind::System => FileKind::System,
        Kind::Service => FileKind::Service,
        Kind::Saga => FileKind::Saga,
        Kind::Reconcile => FileKind::Reconcile,
        Kind::Examples => FileKind::Examples,
    };
    println!("{}", serde_json::to_string_pretty(&ondol_manifest::schema(kind))?);
    Ok(ExitCode::SUCCESS)
}
