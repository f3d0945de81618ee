//! The program `shop-users`: variables in, the service out.

use shop_kit::{Database, data_folder, outbox};
use shop_users::{service, store};
use std::process::ExitCode;

fn main() -> ExitCode {
    shop_kit::main(async {
        let database = Database::from_env(&store::MIGRATIONS).await?;
        outbox::tidy(database.clone())?;
        service(database, &data_folder()?).await
    })
}
