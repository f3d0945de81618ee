//! The payments service.

fn main() -> std::process::ExitCode {
    shop_kit::main(shop_payments::start())
}
