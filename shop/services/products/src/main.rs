//! products.
fn main() {}
