//! ondol.
fn main() {}
