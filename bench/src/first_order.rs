//! From `ondol up` with everything built to the first confirmed order.

use crate::shop::{Customer, Placed, place};
use crate::system::{Part, System};
use anyhow::bail;
use serde_json::json;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often; the builds are there from the first on.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let system = System::shop("bench-first-order", Part::Checkout, Default::default())?;
    // Once, so that everything is built and kept.
    system.up()?;
    system.down()?;
    for _ in 0..args.rounds {
        let began = Instant::now();
        system.up()?;
        let ready = began.elapsed();
        let client = system.client();
        let name = format!("first-{}", uuid::Uuid::new_v4().simple());
        let customer = Customer::join(&client, &name, 10_000_000).await?;
        let items = json!([{ "product_id": "p01", "quantity": 1 }]);
        match place(&client, &customer.token, &name, &items).await {
            Placed::Confirmed(_) => {}
            other => bail!("the first order was not confirmed: {other:?}"),
        }
        let done = began.elapsed();
        println!(
            "ready after {:.2} s, first order confirmed after {:.2} s",
            ready.as_secs_f64(),
            done.as_secs_f64()
        );
        system.down()?;
    }
    Ok(())
}
