//! shipping.
fn main() {}
