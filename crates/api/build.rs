//! Tells cargo that the console's built pages are part of this crate. The folder is always there, its content only
//! where Node built it.

fn main() {
    println!("cargo::rerun-if-changed=../../console/dist");
}
