//! The inventory service.

fn main() -> std::process::ExitCode {
    shop_kit::main(shop_inventory::start())
}
