//! users.
fn main() {}
