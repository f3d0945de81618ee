//! The program `shop-orders`: variables in, the service out.

use shop_kit::{Client, Database, variable};
use shop_orders::{model, service};
use std::process::ExitCode;

fn main() -> ExitCode {
    shop_kit::main(async {
        let database = Database::from_env(&model::MIGRATIONS).await?;
        let log = Client::from_env("ONDOL_URL")?.with_bearer(&variable("ONDOL_TOKEN")?);
        service(database, log, Client::from_env("PRODUCTS_URL")?).await
    })
}
