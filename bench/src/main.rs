//! Load, torture and measurements: programs against a real Ondol with real services.
//!
//! - `load`: customers at a steady rate against a running shop
//! - `torture`: the same while everything is killed at random, then the shop's laws
//! - `proxies`, `sagas`, `events`, `backlog`, `first-order`, `memory`: the figures of `docs/performance.md`
//! - shared: `http.rs` (client), `system.rs` (a system of its own), `shop.rs` (a customer), `laws/` (what must hold)

mod backlog;
mod claims;
mod events;
mod first_order;
mod goal;
mod http;
mod laws;
mod load;
mod memory;
mod moment;
mod participant;
mod peer;
mod postgres;
mod proxies;
mod publisher;
mod random;
mod report;
mod sagas;
mod shop;
mod subscriber;
mod system;
mod torture;
mod traffic;
mod with_shop;
mod witness;

use clap::Parser;
use std::process::ExitCode;

/// Load, torture and measurements.
#[derive(Parser)]
#[command(name = "ondol-bench")]
enum Cli {
    /// Customers at a steady rate against a running shop.
    Load(load::Args),
    /// Kill everything at random under load, then check the shop's laws.
    Torture(torture::Args),
    /// Two-step sagas per second.
    Sagas(sagas::Args),
    /// Events published, delivered and relayed, a million of them stored; beside RabbitMQ, NATS and Redis.
    Events(events::Args),
    /// A subscriber that comes back to a million events, while others publish.
    Backlog(backlog::Args),
    /// From `ondol up` to the first confirmed order.
    FirstOrder(first_order::Args),
    /// What the proxy costs, and what it is worth when backends fail; beside HAProxy, nginx and Caddy.
    Proxies(proxies::Args),
    /// The idle roles' memory.
    Memory(memory::Args),
    /// Run a command against a shop of its own.
    WithShop(with_shop::Args),
    /// What proxies pass requests to; `proxies` starts it.
    #[command(hide = true)]
    Origin(proxies::origin::Args),
    /// A participant that keeps nothing; `sagas` starts it.
    #[command(hide = true)]
    Participant,
    /// A service that publishes what it is told to; `events` starts it.
    #[command(hide = true)]
    Publisher,
    /// A service that counts what is pushed to it; `events` starts it.
    #[command(hide = true)]
    Subscriber,
    /// A service that sees whether events can be trusted; `torture` starts it.
    #[command(hide = true)]
    Witness,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli {
        Cli::Origin(args) => proxies::origin::run(args),
        Cli::Participant => participant::run(),
        Cli::Publisher => publisher::run(),
        Cli::Subscriber => subscriber::run(),
        Cli::Witness => witness::run(),
        other => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(run(other))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli {
        Cli::Load(args) => load::run(args).await,
        Cli::Torture(args) => torture::run(args).await,
        Cli::Sagas(args) => sagas::run(args).await,
        Cli::Events(args) => events::run(args).await,
        Cli::Backlog(args) => backlog::run(args).await,
        Cli::FirstOrder(args) => first_order::run(args).await,
        Cli::Proxies(args) => proxies::run(args).await,
        Cli::Memory(args) => memory::run(args).await,
        Cli::WithShop(args) => with_shop::run(args).await,
        Cli::Origin(_) | Cli::Participant | Cli::Publisher | Cli::Subscriber | Cli::Witness => Ok(()),
    }
}
