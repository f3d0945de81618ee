//! audit.
fn main() {}
