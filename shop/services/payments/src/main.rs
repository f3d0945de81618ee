//! payments.
fn main() {}
