//! inventory.
fn main() {}
