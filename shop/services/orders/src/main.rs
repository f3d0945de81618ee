//! orders.
fn main() {}
