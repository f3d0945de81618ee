//! bank-north.
fn main() {}
