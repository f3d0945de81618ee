//! The commands of the guides, run as they stand there, in one shell for each page.
//!
//! A block that begins with "```sh walk" is part of its page's walk. Each fails by itself where something is not as the
//! text says (`grep`, `curl --fail-with-body`), so a reader sees the same checks that the test makes. Nothing is
//! substituted: pages about a running shop read `GATEWAY`, `ONDOL` and `SYSTEM` where they are set, and a reader's shell
//! does not set them; the other pages find `ondol` on the `PATH`.

use crate::sh;
use anyhow::{Context, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Go on with a shop that is up.
const GETTING_STARTED: &str = "docs/getting-started.md";
/// Needs Go, for the shop's `carriers`.
const GRPC: &str = "docs/guides/grpc.md";
/// Start systems of their own, at the ports 8090 and 7090, with services in Python.
const GUIDES: [&str; 14] = [
    "docs/guides/first-service.md",
    "docs/guides/routes.md",
    "docs/guides/change-routes.md",
    "docs/guides/streams.md",
    "docs/guides/new-version.md",
    "docs/guides/resilience.md",
    "docs/guides/balancing.md",
    "docs/guides/upgrade.md",
    "docs/guides/cache.md",
    "docs/guides/write-a-saga.md",
    "docs/guides/reconcile.md",
    "docs/guides/tokens.md",
    "docs/guides/tls.md",
    "docs/guides/mesh.md",
];

const FENCE: &str = "```";

/// A block of a walk: its first line's number in the page, and its text.
type Block<'a> = (usize, &'a str);

/// Walks through the pages about a running shop, each in a shell of its own.
///
/// `gateway` is the shop's address such as `http://127.0.0.1:8080`, `ondol` the program, `system` the folder of its
/// `ondol.yaml`. The shop must be up; each walk registers a customer of its own; they restart, kill and stop
/// instances of `payments` and `carriers`, and leave everything running.
///
/// # Errors
/// When a page cannot be read, or a block fails; what it printed says why, the last line says where.
pub(crate) fn run_walk(gateway: &str, ondol: &Path, system: &Path) -> anyhow::Result<()> {
    let walk = |page| {
        let mut bash = Command::new("bash");
        bash.current_dir(sh::root())
            .env("GATEWAY", gateway)
            .env("ONDOL", ondol)
            .env("SYSTEM", system);
        run(page, bash)
    };
    walk(GETTING_STARTED)?;
    if !sh::has("go") {
        eprintln!("SKIPPED: {GRPC}; install Go 1.26 or newer");
        return Ok(());
    }
    walk(GRPC)
}

/// Walks through the guides that start a system of their own, each in a fresh temporary folder.
///
/// # Errors
/// As [`run_walk`]; whatever happened, nothing runs on.
pub(crate) fn run_guides(ondol: &Path) -> anyhow::Result<()> {
    if !sh::has("python3") {
        eprintln!("SKIPPED: the guides with services in Python; install the Debian package: python3");
        return Ok(());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = ondol.parent().map(Path::to_path_buf);
    let path = std::env::join_paths(here.into_iter().chain(std::env::split_paths(&path)))?;
    for page in GUIDES {
        let name = Path::new(page).file_stem().unwrap_or_default().to_string_lossy();
        let folder = std::env::temp_dir().join(format!("ondol-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut bash = Command::new("bash");
        bash.current_dir(&folder).env("PATH", &path);
        let walked = run(page, bash);
        systems(&folder).for_each(|folder| {
            let mut down = Command::new(ondol);
            // After a whole walk nothing runs there; after a broken one what broke it is what counts.
            let _ = down.arg("-C").arg(&folder).arg("down").stderr(Stdio::null()).status();
        });
        walked?;
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

/// The folders of systems that a walk has made: its own, and those right below it.
fn systems(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let below = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let all = std::iter::once(folder.to_path_buf()).chain(below);
    all.filter(|folder| folder.join("ondol.yaml").is_file())
}

fn run(page: &str, mut bash: Command) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(sh::root().join(page)).with_context(|| format!("reading {page}"))?;
    let blocks = walk(&text);
    bash.args(["-euo", "pipefail", "-c", &script(page, &blocks)]);
    let status = bash.status().context("starting bash")?;
    if !status.success() {
        bail!("the walk of {page} failed: bash ended with {status}");
    }
    eprintln!("{page}: all {} blocks of the walk did what the text says", blocks.len());
    Ok(())
}

/// The blocks of the walk in a page.
fn walk(page: &str) -> Vec<Block<'_>> {
    let opening = format!("{FENCE}sh walk\n");
    page.match_indices(&opening)
        .filter_map(|(at, _)| {
            let start = at + opening.len();
            let (block, _) = page[start..].split_once(&format!("\n{FENCE}"))?;
            Some((page[..start].lines().count() + 1, block))
        })
        .collect()
}

/// One script of all blocks; a block that fails is named by its line.
fn script(page: &str, blocks: &[Block<'_>]) -> String {
    let mut script = String::from("trap 'echo \"the block at line $block failed\" >&2' ERR\n");
    for (line, text) in blocks {
        // Writing to a string does not fail.
        let _ = write!(script, "block={line}; echo \"-- {page}:{line}\" >&2\n{text}\n");
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bash(blocks: &[Block<'_>]) -> (bool, String) {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script("page.md", blocks)])
            .output()
            .expect("bash");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    #[test]
    fn only_blocks_of_the_walk_are_taken_and_their_lines_are_the_pages() {
        let page = "# A\n\n```sh walk\na\nb\n```\n\n```sh\nno\n```\n\n```sh walk\nc\n```\n";
        assert_eq!(walk(page), [(4, "a\nb"), (13, "c")]);
    }

    #[test]
    fn a_failing_block_ends_the_walk_and_is_named() {
        assert!(bash(&[(1, "A=1"), (5, "test $A = 1")]).0);
        let (passed, said) = bash(&[(1, "A=1"), (5, "echo x | grep y"), (9, "echo not reached >&2")]);
        let named = said.contains("-- page.md:5") && said.contains("the block at line 5 failed");
        assert!(!passed && named && !said.contains("not reached"), "{said}");
        assert!(!bash(&[(1, "A=$(false | cat)")]).0, "a failure within a pipe counts");
    }

    #[test]
    fn every_page_has_a_walk_and_the_first_one_orders_and_kills() {
        let read = |page: &str| std::fs::read_to_string(sh::root().join(page)).expect("the page");
        for page in GUIDES {
            assert!(walk(&read(page)).len() > 5, "{page}");
        }
        assert!(walk(&read(GRPC)).iter().any(|(_, block)| block.contains("kill -STOP")));
        let text = read(GETTING_STARTED);
        let all: String = walk(&text).iter().map(|(_, block)| *block).collect();
        for part in [
            "/api/users",
            "/api/sessions",
            "/api/wallet/deposits",
            "/api/orders",
            "kill -9",
            "409",
        ] {
            assert!(all.contains(part), "{part}");
        }
    }
}
