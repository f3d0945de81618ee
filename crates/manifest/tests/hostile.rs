//! Whatever stands in the files, `load` says something with places in them, and nothing falls over.

use ondol_manifest::{Env, load};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::path::{Path, PathBuf};

/// A machine with everything and nothing set.
struct World;

impl Env for World {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
    fn program(&self, name: &str) -> Option<PathBuf> {
        Some(Path::new("/usr/bin").join(name))
    }
    fn version(&self, _: &Path) -> Option<String> {
        None
    }
}

/// The files of the example that has every key.
fn example() -> Vec<(String, String)> {
    let case = include_str!("../../../conformance/manifests/good-shop.case");
    let files = case
        .split("=== expected\n")
        .next()
        .expect("has files")
        .split("=== ")
        .skip(1);
    let file = |part: &str| {
        part.split_once('\n')
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
    };
    files.filter_map(file).collect()
}

fn check(files: &[(String, String)]) {
    let root = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("can be made");
        std::fs::write(path, text).expect("can be written");
    }
    match load(root.path(), &World) {
        Ok(loaded) => {
            let _plan = loaded.lower();
        }
        Err(findings) => {
            assert!(
                !findings.is_empty()
                    && findings
                        .items
                        .iter()
                        .all(|item| item.at.is_some() || item.path.is_some())
            );
            assert!(findings.render(false).contains("error[MF-"));
            for one in findings.json()["findings"].as_array().expect("a list") {
                assert!(one["file"].is_string() && one["code"].is_string(), "{one}");
            }
        }
    }
}

/// What is put in the place of what was there.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ \\t\\n{}\\[\\]:,&*!|>'\"%@`#<?-]{1,6}",
        "\\PC{1,8}",
        prop::sample::select(vec![
            "${env:X}",
            "${",
            "{input.x}",
            "{create.",
            "~",
            "null",
            "[]",
            "{}",
            "- ",
            "\u{feff}",
            "\u{0}",
            "\r",
            "💥: ",
            "<<: *a",
            "99999999999999999999",
            "--- ",
            "...",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, rng_seed: RngSeed::Fixed(3), ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_told_and_nothing_falls_over(which in 0..7_usize, from in 0.0..1.0_f64, length in 0..40_usize, piece in piece()) {
        let mut files = example();
        let count = files.len();
        let text = &mut files[which % count].1;
        let mut start = (text.len() as f64 * from) as usize;
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = (start + length).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        text.replace_range(start..end, &piece);
        check(&files);
    }
}

#[test]
fn files_that_are_too_large_or_no_text_are_refused() {
    let case = |text: Vec<u8>, code: &str| {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::write(root.path().join("ondol.yaml"), text).expect("can be written");
        let said = load(root.path(), &World).expect_err("refused").render(false);
        assert!(said.contains(code), "{said}");
    };
    case(vec![b'#'; (1 << 20) + 1], "MF-026");
    case(vec![b's', 0xff, 0xfe], "MF-001");
    case(format!("services: [{}]", "x, ".repeat(20_001)).into_bytes(), "MF-026");
}
