//! A bank: north or south, as `BANK` says.

fn main() -> std::process::ExitCode {
    shop_kit::main(shop_bank::start())
}
