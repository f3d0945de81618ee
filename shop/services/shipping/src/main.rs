//! The shipping service.

fn main() -> std::process::ExitCode {
    shop_kit::main(shop_shipping::start())
}
