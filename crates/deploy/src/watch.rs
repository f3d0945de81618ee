//! Which source files changed: one inotify watcher over the folders of all inputs, joined until a quarter of a second is
//! quiet, a second at most.
//!
//! It only says *something changed*; the content hash of the inputs decides whether anything is built, so a touched file
//! or a lost event in an overflow costs one hash and nothing else.

use crate::config::{ServicePlan, SystemPlan};
use crate::inputs::{fixed_part, in_ignored_folder};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Quiet for so long after the last change: an editor saves in several steps.
pub const QUIET: Duration = Duration::from_millis(250);

/// The quiet is waited for no longer than this: a file that is written all the time, such as a log beside the sources, must
/// not hide a change.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Watches until it is dropped.
pub struct SourceWatch {
    _watcher: RecommendedWatcher,
}

impl SourceWatch {
    /// Watches every input and manifest of `plan`. `changed` is called for every relevant event, with true when it may
    /// be a manifest's, on the watcher's thread: it must not block, since the watcher is waited for while folders are added.
    ///
    /// # Errors
    /// When the kernel gives no watcher or a folder cannot be watched.
    pub fn start(plan: &SystemPlan, changed: impl Fn(bool) + Send + 'static) -> notify::Result<Self> {
        let manifests: BTreeSet<PathBuf> = plan.manifests.iter().cloned().collect();
        let watched = folders(plan, &manifests);
        let (bases, known) = (watched.clone(), manifests);
        let is_input = move |path: &Path| {
            let base = bases.iter().find(|base| path.starts_with(base));
            base.is_none_or(|base| !in_ignored_folder(path, base))
        };
        let handler = move |event: notify::Result<notify::Event>| match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Ok(event) => {
                // An overflow carries no path: everything may have changed.
                let all = event.need_rescan();
                let manifest = all || event.paths.iter().any(|path| known.contains(path));
                if manifest || event.paths.iter().any(|path| is_input(path)) {
                    changed(manifest);
                }
            }
            Err(error) => tracing::warn!(%error, "watching sources"),
        };
        let mut watcher = notify::recommended_watcher(handler)?;
        for folder in watched {
            watcher.watch(&folder, RecursiveMode::Recursive)?;
        }
        Ok(Self { _watcher: watcher })
    }
}

/// Services whose sources nobody named, so that no change of them is seen.
pub fn unseen(plan: &SystemPlan) -> impl Iterator<Item = &ServicePlan> {
    let is_unseen = |service: &&ServicePlan| match &service.build {
        _ if service.skipped.is_some() => false,
        Some(build) => plan.builds.get(build).is_some_and(|build| build.inputs.is_empty()),
        None => service.inputs.is_empty() && !runs_its_own_file(service),
    };
    plan.services.iter().filter(is_unseen)
}

/// What is run lies in the service's folder, which is watched for its manifest: its content counts.
fn runs_its_own_file(service: &ServicePlan) -> bool {
    let first = service.run.first().map(String::as_str).unwrap_or_default();
    first.contains('/') && !first.contains("${") && service.dir.join(first).starts_with(&service.folder)
}

/// The topmost existing folders that hold all inputs.
fn folders(plan: &SystemPlan, manifests: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let globs = plan.builds.values().flat_map(|build| &build.inputs);
    let globs = globs.chain(plan.services.iter().flat_map(|service| &service.inputs));
    let mut all: BTreeSet<PathBuf> = globs.map(|glob| fixed_folder(glob)).collect();
    all.extend(manifests.iter().filter_map(|path| path.parent().map(Path::to_path_buf)));
    let mut kept: Vec<PathBuf> = Vec::new();
    for folder in all.into_iter().filter(|folder| folder.is_dir()) {
        // Sorted: a parent comes before what lies in it.
        if !kept.iter().any(|parent| folder.starts_with(parent)) {
            kept.push(folder);
        }
    }
    kept
}

/// The part of a glob before its first wildcard, as a folder.
fn fixed_folder(glob: &str) -> PathBuf {
    let fixed = fixed_part(glob);
    if fixed.is_dir() {
        fixed
    } else {
        fixed.parent().map(Path::to_path_buf).unwrap_or(fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BuildPlan;
    use crate::fixtures::{service, system};

    #[test]
    fn services_whose_sources_nobody_named_are_unseen() {
        let cases = [
            ("python3 app.py", "", false, true),
            ("python3 app.py", "*.py", false, false),
            ("./server", "", false, false),
            ("/elsewhere/server", "", false, true),
            ("./server", "", true, true),
            ("./server", "src/**", true, false),
        ];
        for (run, inputs, built, unseen_) in cases {
            let mut one = service("one");
            one.run = run.split(' ').map(Into::into).collect();
            one.inputs = inputs.split_whitespace().map(Into::into).collect();
            one.build = built.then(|| "one".into());
            let build = BuildPlan {
                name: "one".into(),
                argv: vec!["make".into()],
                dir: "/system".into(),
                inputs: one.inputs.clone(),
                lock: None,
                refers: false,
            };
            let mut plan = system(vec![one]);
            plan.builds.insert("one".into(), build);
            assert_eq!(unseen(&plan).count() == 1, unseen_, "{run} {inputs} {built}");
        }
    }
}
