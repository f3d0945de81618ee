//! What compilers do not check: who imports whom, module heads, error pages, paths in docs, banned crates, file sizes.

use crate::sh::{self, cargo, root};
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The import table of `ARCHITECTURE.md`: a room and the rooms it may import.
const IMPORTS: [(&str, &[&str]); 13] = [
    ("core", &[]),
    ("resilience", &[]),
    ("supervisor", &["core"]),
    ("store", &["core"]),
    ("discovery", &["core"]),
    ("telemetry", &["core", "store"]),
    ("events", &["core", "store", "resilience"]),
    ("proxy", &["core", "discovery", "resilience"]),
    ("saga", &["core", "store", "events", "resilience"]),
    ("deploy", &["core", "store", "discovery"]),
    (
        "manifest",
        &[
            "core",
            "deploy",
            "saga",
            "proxy",
            "discovery",
            "events",
            "store",
            "resilience",
            "supervisor",
            "telemetry",
        ],
    ),
    (
        "api",
        &[
            "core",
            "manifest",
            "deploy",
            "discovery",
            "events",
            "saga",
            "telemetry",
            "store",
            "proxy",
        ],
    ),
    ("testkit", &["core"]),
];

/// Crates that must not come into the graph; `deny.toml` says why.
const BANNED: [&str; 10] = [
    "ring",
    "openssl-sys",
    "native-tls",
    "rustls-pemfile",
    "serde_yaml",
    "serde_yml",
    "backoff",
    "async-std",
    "atty",
    "reqwest",
];

/// Lines of a source file beyond which a second noun is in it.
const MAX_LINES: usize = 600;

type Check = fn(&Path, &mut Vec<String>) -> anyhow::Result<()>;

pub(crate) fn run() -> anyhow::Result<()> {
    let checks: [Check; 5] = [imports, sources, error_pages, doc_paths, banned];
    let mut wrong = Vec::new();
    for check in checks {
        check(&root(), &mut wrong)?;
    }
    wrong.iter().for_each(|line| eprintln!("{line}"));
    if !wrong.is_empty() {
        bail!("{} house rules are broken", wrong.len());
    }
    eprintln!("tidy: imports, sources, error pages, paths in docs and crates are in order");
    Ok(())
}

fn imports(_: &Path, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let text = sh::read(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let ours = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|d| d["kind"].is_null());
        for dependency in ours.filter_map(|d| d["name"].as_str()) {
            if let Some(why) = forbidden(name, dependency) {
                wrong.push(format!("{name} imports {dependency}: {why}"));
            }
        }
    }
    Ok(())
}

fn forbidden(name: &str, dependency: &str) -> Option<String> {
    let is_shop = |name: &str| name.starts_with("shop-");
    let room = dependency.strip_prefix("ondol-");
    if dependency == "ondol" {
        return Some("nobody imports the binary".into());
    }
    if is_shop(name) && room.is_some_and(|room| room != "sdk") {
        return Some("the shop imports the SDK only".into());
    }
    if !is_shop(name) && is_shop(dependency) {
        return Some("only the shop imports the shop".into());
    }
    // The SDK is for customers, and what bench starts as services are customers.
    if name == "ondol-bench" && room == Some("sdk") {
        return None;
    }
    if ["xtask", "ondol-sdk", "ondol-bench"].contains(&name) && room.is_some() {
        return Some("it imports none of the rooms".into());
    }
    let (_, may) = IMPORTS
        .iter()
        .find(|(importer, _)| Some(*importer) == name.strip_prefix("ondol-"))?;
    let room = room?;
    (!may.contains(&room)).then(|| {
        format!(
            "the import table allows {}",
            if may.is_empty() {
                "nothing".into()
            } else {
                may.join(", ")
            }
        )
    })
}

/// Files of the repository, as git knows them: tracked, and untracked but not ignored.
fn files(root: &Path, endings: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root);
    let text = sh::read(&mut git)?;
    let fits = |line: &&str| endings.iter().any(|ending| line.ends_with(ending));
    Ok(text
        .lines()
        .filter(fits)
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect())
}

fn sources(root: &Path, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    for path in files(root, &[".rs"])? {
        let text = std::fs::read_to_string(root.join(&path))?;
        if !text.starts_with("//!") {
            wrong.push(format!(
                "{}: no head comment (`//!`) that says what it is for",
                path.display()
            ));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            wrong.push(format!(
                "{}: {lines} lines, more than {MAX_LINES}; is there a second noun in it?",
                path.display()
            ));
        }
    }
    Ok(())
}

/// Every code in the sources has a page, and every page a code.
fn error_pages(root: &Path, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let mut used: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in files(root, &[".rs"])?
        .into_iter()
        .filter(|path| path.starts_with("crates"))
    {
        let text = std::fs::read_to_string(root.join(&path))?;
        for code in codes(&text) {
            used.entry(code).or_insert_with(|| path.clone());
        }
    }
    let pages: BTreeSet<String> = files(root, &[".md"])?
        .iter()
        .filter(|path| path.starts_with("docs/errors"))
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .filter(|stem| stem != "README")
        .collect();
    for (code, path) in &used {
        if !pages.contains(code) {
            wrong.push(format!("{}: {code} has no page docs/errors/{code}.md", path.display()));
        }
    }
    for page in pages.iter().filter(|page| !used.contains_key(*page)) {
        wrong.push(format!("docs/errors/{page}.md: no source uses this code"));
    }
    Ok(())
}

/// Codes such as `GW-011` in string literals: two capitals, a hyphen, three digits, at a literal's start.
fn codes(text: &str) -> BTreeSet<String> {
    let shape = |code: &str| {
        let bytes = code.as_bytes();
        bytes.len() == 6
            && bytes[..2].iter().all(u8::is_ascii_uppercase)
            && bytes[2] == b'-'
            && bytes[3..].iter().all(u8::is_ascii_digit)
    };
    const PREFIXES: [&str; 9] = ["MF", "SV", "ST", "EV", "SG", "GW", "AP", "DP", "CL"];
    let literals = text.match_indices('"').filter_map(|(at, _)| text.get(at + 1..at + 7));
    literals
        .filter(|code| shape(code) && PREFIXES.contains(&&code[..2]))
        .map(Into::into)
        .collect()
}

/// Paths in backticks in Markdown files, if they look like this repository's, exist.
fn doc_paths(root: &Path, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    const TOP: [&str; 10] = [
        "crates/",
        "docs/",
        "shop/",
        "sdk/",
        "conformance/",
        "bench/",
        "xtask/",
        "console/",
        "fuzz/",
        ".ci/",
    ];
    for path in files(root, &[".md"])? {
        let text = std::fs::read_to_string(root.join(&path))?;
        for (n, line) in text.lines().enumerate() {
            for word in line.split('`').skip(1).step_by(2).chain(links(line)) {
                let word = word
                    .split(['#', ' ', ':'])
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('/');
                let ours = TOP.iter().any(|top| word.starts_with(top)) && !word.contains(['*', '{', '<', '…']);
                if ours && !root.join(word).exists() {
                    wrong.push(format!("{}:{}: `{word}` is not there", path.display(), n + 1));
                }
            }
        }
    }
    Ok(())
}

/// Targets of Markdown links that start at the root.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](")
        .filter_map(|(at, _)| line[at + 2..].split(')').next())
}

fn banned(_: &Path, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let tree = sh::read(&mut cargo(&[
        "tree",
        "--workspace",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "-e",
        "normal,build",
    ]))?;
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    wrong.extend(
        BANNED
            .iter()
            .filter(|name| names.contains(*name))
            .map(|name| format!("the crate {name} is banned; see deny.toml")),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_at_the_start_of_literals() {
        let text = "ErrorCode::new(\"GW-011\"), \"CL-003: not running\", \"x GW-012\", \"ZZ-001\", \"GW-1\"";
        assert_eq!(codes(text), ["CL-003".to_owned(), "GW-011".to_owned()].into());
    }

    #[test]
    fn the_import_table_holds() {
        assert!(forbidden("ondol-core", "ondol-store").is_some());
        assert!(forbidden("ondol-store", "ondol-core").is_none());
        assert!(forbidden("shop-orders", "ondol-core").is_some());
        assert!(forbidden("shop-orders", "ondol-sdk").is_none());
        assert!(forbidden("ondol-proxy", "serde").is_none());
        assert!(forbidden("xtask", "ondol-core").is_some());
        assert!(forbidden("ondol-api", "ondol").is_some());
    }

    #[test]
    fn the_import_table_of_the_document_is_the_one_that_is_checked() {
        let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the document");
        let (_, table) = text.split_once("| room | may import |").expect("the table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let names = |cell: &str| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(String::from)
                .collect::<BTreeSet<_>>()
        };
        let written: BTreeMap<_, _> = rows
            .filter_map(|row| {
                let (room, may) = row.trim_matches('|').split_once('|')?;
                Some((names(room).pop_first()?, names(may)))
            })
            .collect();
        let checked = IMPORTS.map(|(room, may)| (room.to_owned(), may.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(written, BTreeMap::from(checked));
    }
}
