//! The reference shop's own manifests: what a newcomer reads first must be taken without an error.

use ondol_manifest::{Env, load};
use std::path::{Path, PathBuf};

/// A machine on which every tool is installed.
struct Everything;

impl Env for Everything {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
    fn program(&self, name: &str) -> Option<PathBuf> {
        Some(Path::new("/usr/bin").join(name))
    }
    fn version(&self, _: &Path) -> Option<String> {
        Some("9999.0".into())
    }
}

#[test]
fn the_shop_is_taken_and_its_checkout_lowers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shop");
    let loaded = match load(&root, &Everything) {
        Ok(loaded) => loaded,
        Err(findings) => panic!("{findings}"),
    };
    let lowered = loaded.lower();
    let names: Vec<&str> = lowered
        .plan
        .services
        .iter()
        .map(|service| service.service.as_str())
        .collect();
    for name in ["users", "products", "orders", "payments", "inventory", "shipping"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    let place = |name: &str| names.iter().position(|known| *known == name);
    assert!(place("products") < place("orders"), "what is required comes first");
    for saga in &lowered.sagas {
        ondol_saga::plan::Plan::compile(saga.clone()).expect("what check takes, the engine takes");
    }
    assert_eq!(
        lowered.plan.trusted_proxies,
        ["127.0.0.1/32"],
        "the storefront speaks for its users, whom limits by address tell apart"
    );
    let saga = lowered
        .sagas
        .iter()
        .find(|saga| saga.saga.as_str() == "place-order")
        .expect("the order's saga");
    assert!(saga.input.is_some() && saga.stages.len() >= 4, "{saga:?}");
}
