//! The generated client is of the carriers' contract. `ONDOL_BLESS=1 cargo test -p shop-shipping --test contract` makes it anew;
//! neither this nor the build needs protoc.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

const CONTRACT: &str = "carriers/v1/carriers.proto";

#[test]
fn the_client_is_generated_from_the_contract_as_it_is_now() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let contract = protox::compile([CONTRACT], [here.join("../carriers/proto")]).unwrap();
    tonic_prost_build::configure()
        .build_server(false)
        .emit_rerun_if_changed(false)
        .out_dir(folder.path())
        .compile_fds(contract)
        .unwrap();
    let wanted = std::fs::read_to_string(folder.path().join("carriers.v1.rs")).unwrap();
    let wanted = format!("//! Generated from {CONTRACT}; see tests/contract.rs.\n\n{wanted}");
    let path = here.join("src/carriers/v1.rs");
    if std::env::var_os("ONDOL_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == wanted,
        "{} is not current: run this test with ONDOL_BLESS=1",
        path.display()
    );
}
