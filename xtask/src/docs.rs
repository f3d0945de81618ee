//! The commands of `docs/getting-started.md`, run as they stand there, in one shell, against a running shop.
//!
//! A block that begins with "```sh walk" is part of the walk. Each fails by itself where something is not as the text says
//! (`grep`, `curl --fail-with-body`), so a reader sees the same checks that the test makes. Nothing is substituted: the
//! first block reads `GATEWAY`, `ONDOL` and `SYSTEM` where they are set, and a reader's shell does not set them.

use crate::sh;
use anyhow::{Context, bail};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// The page, from the repository's root.
const PAGE: &str = "docs/getting-started.md";

const FENCE: &str = "```";

/// A block of the walk: its first line's number in the page, and its text.
type Block<'a> = (usize, &'a str);

/// Walks through the page.
///
/// `gateway` is the shop's address such as `http://127.0.0.1:8080`, `ondol` the program, `system` the folder of its
/// `ondol.yaml`. The shop must be up; the walk registers a customer of its own, restarts and kills an instance of
/// `payments`, and leaves everything running.
///
/// # Errors
/// When the page cannot be read, or a block fails; what it printed says why, the last line says where.
pub(crate) fn run_walk(gateway: &str, ondol: &Path, system: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(sh::root().join(PAGE)).with_context(|| format!("reading {PAGE}"))?;
    let blocks = walk(&text);
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script(&blocks)])
        .current_dir(sh::root())
        .env("GATEWAY", gateway)
        .env("ONDOL", ondol)
        .env("SYSTEM", system);
    let status = bash.status().context("starting bash")?;
    if !status.success() {
        bail!("the walk of {PAGE} failed: bash ended with {status}");
    }
    eprintln!("{PAGE}: all {} blocks of the walk did what the text says", blocks.len());
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
fn script(blocks: &[Block<'_>]) -> String {
    let mut script = String::from("trap 'echo \"the block at line $block failed\" >&2' ERR\n");
    for (line, text) in blocks {
        // Writing to a string does not fail.
        let _ = write!(script, "block={line}; echo \"-- {PAGE}:{line}\" >&2\n{text}\n");
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bash(blocks: &[Block<'_>]) -> (bool, String) {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script(blocks)])
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
        assert!(
            !passed && said.contains("the block at line 5 failed") && !said.contains("not reached"),
            "{said}"
        );
        assert!(!bash(&[(1, "A=$(false | cat)")]).0, "a failure within a pipe counts");
    }

    #[test]
    fn the_page_has_a_walk_that_orders_and_kills() {
        let text = std::fs::read_to_string(sh::root().join(PAGE)).expect("the page");
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
