//! The program `shop-products`: variables in, the service out.

use shop_kit::Database;
use shop_products::{catalogue, service};
use std::process::ExitCode;

fn main() -> ExitCode {
    shop_kit::main(async { service(Database::from_env(&catalogue::MIGRATIONS).await?).await })
}
