//! Builds: run once per content of their inputs.
//!
//! `.ondol/builds/BUILD.json` says which inputs were built last and what came of it; `.ondol/builds/SERVICE/HASH/PROGRAM`
//! is a copy of the program (`program.rs`). Both are written after the job ended with success, the record last and by rename, so
//! a killed controller builds again rather than trusting half a result.
//!
//! Not here: which builds may run together (`build_run.rs`), the job's process (the supervisor's).

use crate::config::{BuildPlan, ServicePlan};
use crate::inputs::{self, InputError};
use crate::program::{Program, Programs};
use ondol_core::error::ErrorCode;
use ondol_core::id::{BootId, ServiceName};
use ondol_core::wire::supervision::{Exit, JobSpec};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// Longer than any build on a small machine should take.
const BUILD_TIMEOUT_MS: u64 = 2 * 3_600_000;

/// How a build was settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Built {
    /// The same inputs were built before.
    Cached(Programs),
    /// The job ran.
    Ran(Programs),
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its inputs cannot be hashed.
    #[error("build {build}")]
    Inputs {
        /// Which build.
        build: String,
        /// Why.
        source: InputError,
    },
    /// The command failed.
    #[error("build {build}: `{command}` ended with {exit}; see `ondol logs build/{build}`")]
    Failed {
        /// Which build.
        build: String,
        /// What was run.
        command: String,
        /// How it ended.
        exit: String,
    },
    /// The command succeeded, but a program is not there.
    #[error("service {service}: there is no program {}{}", path.display(), build.as_ref().map(|b| format!(" after build {b}")).unwrap_or_default())]
    NoProgram {
        /// Whose.
        service: ServiceName,
        /// What `run:` names.
        path: PathBuf,
        /// After which build.
        build: Option<String>,
    },
    /// A program cannot be kept.
    #[error("keeping {}", path.display())]
    Keep {
        /// What was being read or written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The supervisor could not run the job.
    #[error("build {build}: {why}")]
    Job {
        /// Which build.
        build: String,
        /// Its words.
        why: String,
    },
}

impl BuildError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Inputs { .. } => ErrorCode::new("DP-001"),
            Self::Failed { .. } => ErrorCode::new("DP-002"),
            Self::NoProgram { .. } => ErrorCode::new("DP-003"),
            Self::Keep { .. } => ErrorCode::new("DP-004"),
            Self::Job { .. } => ErrorCode::new("DP-005"),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    key: String,
    programs: Programs,
    /// The supervisor's life in which this was last found to be so.
    #[serde(default)]
    boot: String,
}

/// The kept results under `.ondol/builds/`.
#[derive(Clone, Debug)]
pub struct Builds {
    pub(crate) folder: PathBuf,
    boot: String,
}

impl Builds {
    /// For the system whose state is in `state` (`.ondol`), in the supervisor's life `boot`.
    pub fn new(state: &Path, boot: &BootId) -> Self {
        Self {
            folder: state.join("builds"),
            boot: boot.to_string(),
        }
    }

    /// Builds unless the same inputs were built before. `run` runs a job to its end.
    ///
    /// # Errors
    /// [`BuildError`]; nothing kept before is lost.
    pub fn ensure(
        &self,
        build: &BuildPlan,
        services: &[&ServicePlan],
        run: impl FnOnce(JobSpec) -> Result<Exit, String>,
    ) -> Result<Built, BuildError> {
        let key = key(build, services)?;
        // Of a build whose inputs nobody knows only its own tool can say what is up to date.
        let same = |record: &Record| record.key == key && !build.inputs.is_empty();
        if let Some(record) = self.whole(&build.name).filter(same) {
            self.record(&build.name, key, &record.programs)?;
            return Ok(Built::Cached(record.programs));
        }
        let exit = run(job(build)).map_err(|why| BuildError::Job {
            build: build.name.clone(),
            why,
        })?;
        if exit != Exit::Code(0) {
            let (command, exit) = (build.shown(), show_exit(&exit));
            return Err(BuildError::Failed {
                build: build.name.clone(),
                command,
                exit,
            });
        }
        let mut programs = Programs::new();
        for service in services {
            programs.insert(service.service.clone(), self.keep(service, Some(&build.name))?);
        }
        self.record(&build.name, key, &programs)?;
        Ok(Built::Ran(programs))
    }

    /// The program of a service that nothing builds, written down like a build's.
    ///
    /// # Errors
    /// [`BuildError`] as [`Builds::keep`].
    pub(crate) fn take(&self, service: &ServicePlan) -> Result<Program, BuildError> {
        let program = self.keep(service, None)?;
        let programs = Programs::from([(service.service.clone(), program.clone())]);
        self.record(&taken(service), program.hash.clone(), &programs)?;
        Ok(program)
    }

    /// What [`Builds::take`] wrote down last.
    pub(crate) fn taken(&self, service: &ServicePlan) -> Option<Program> {
        self.recorded(&taken(service))?.remove(&service.service)
    }

    /// What the last build of this name gave, if it was made or found to be up to date within this supervisor's life, and
    /// its programs are all still there. Of an earlier life it may be older than the sources.
    pub fn recorded(&self, build: &str) -> Option<Programs> {
        let record = self.whole(build)?;
        (record.boot == self.boot).then_some(record.programs)
    }

    fn whole(&self, build: &str) -> Option<Record> {
        let text = std::fs::read(self.folder.join(format!("{build}.json"))).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        let mut paths = record.programs.values().filter_map(|program| program.path.as_ref());
        paths.all(|path| path.is_file()).then_some(record)
    }

    fn record(&self, build: &str, key: String, programs: &Programs) -> Result<(), BuildError> {
        let record = Record {
            key,
            programs: programs.clone(),
            boot: self.boot.clone(),
        };
        let path = self.folder.join(format!("{build}.json"));
        let write = || {
            std::fs::create_dir_all(&self.folder)?;
            let half = path.with_extension("half");
            std::fs::write(&half, serde_json::to_vec_pretty(&record)?)?;
            std::fs::rename(&half, &path)
        };
        write().map_err(|source| BuildError::Keep {
            path: path.clone(),
            source,
        })
    }
}

/// The record's name: no build has a dot in its name.
fn taken(service: &ServicePlan) -> String {
    format!("{}.taken", service.service)
}

fn key(build: &BuildPlan, services: &[&ServicePlan]) -> Result<String, BuildError> {
    let dir = build.dir.to_string_lossy();
    let mut salt: Vec<&str> = build.argv.iter().map(String::as_str).collect();
    salt.push(&dir);
    for service in services {
        salt.extend([
            service.service.as_str(),
            service.run.first().map(String::as_str).unwrap_or_default(),
        ]);
    }
    inputs::hash(&salt, &build.inputs).map_err(|source| BuildError::Inputs {
        build: build.name.clone(),
        source,
    })
}

/// A build gets the whole environment: compilers find their homes, proxies and caches by it.
fn job(build: &BuildPlan) -> JobSpec {
    JobSpec {
        name: format!("build/{}", build.name),
        argv: build.argv.clone(),
        env: std::env::vars()
            .filter(|(name, _)| !name.starts_with("ONDOL_"))
            .collect(),
        dir: build.dir.clone(),
        timeout_ms: BUILD_TIMEOUT_MS,
    }
}

/// An exit in words.
pub fn show_exit(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
        Exit::OutOfMemory => "out of memory".into(),
        Exit::NotReady => "not ready in time".into(),
        Exit::Told => "stopped as told".into(),
        Exit::Spawn(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::service;
    use crate::program::KEPT;

    struct Tree {
        dir: tempfile::TempDir,
        build: BuildPlan,
        plan: ServicePlan,
    }

    fn builds(dir: &tempfile::TempDir, boot: &str) -> Builds {
        let boot = BootId {
            system: "s".into(),
            boot: boot.into(),
        };
        Builds::new(&dir.path().join(".ondol"), &boot)
    }

    fn tree() -> Tree {
        let dir = tempfile::tempdir().expect("folder");
        std::fs::write(dir.path().join("main.rs"), "1").expect("write");
        let mut plan = service("orders");
        plan.dir = dir.path().into();
        plan.run = vec!["out/orders".into()];
        let build = BuildPlan {
            name: "rust".into(),
            argv: vec!["make".into()],
            dir: dir.path().into(),
            inputs: vec![format!("{}/*.rs", dir.path().display())],
            lock: None,
            refers: false,
        };
        Tree { dir, build, plan }
    }

    impl Tree {
        fn ensure(&self, make: impl FnOnce(&Path) -> Exit) -> Result<Built, BuildError> {
            let builds = builds(&self.dir, "1");
            builds.ensure(&self.build, &[&self.plan], |_| Ok(make(self.dir.path())))
        }
    }

    fn make(text: &'static str) -> impl FnOnce(&Path) -> Exit {
        move |dir| {
            std::fs::create_dir_all(dir.join("out")).expect("folder");
            // A linker makes a new file; it does not write into the old one.
            let _ = std::fs::remove_file(dir.join("out/orders"));
            std::fs::write(dir.join("out/orders"), text).expect("write");
            Exit::Code(0)
        }
    }

    #[test]
    fn the_same_inputs_build_once_and_a_later_build_keeps_the_old_program() {
        let tree = tree();
        let Ok(Built::Ran(first)) = tree.ensure(make("one")) else {
            panic!("not built")
        };
        assert_eq!(
            tree.ensure(|_| panic!("built twice")).expect("cached"),
            Built::Cached(first.clone())
        );
        std::fs::write(tree.dir.path().join("main.rs"), "2").expect("write");
        let Ok(Built::Ran(second)) = tree.ensure(make("two")) else {
            panic!("not built again")
        };
        let read = |programs: &Programs| {
            let path = programs.values().next().and_then(|p| p.path.clone()).expect("kept");
            std::fs::read_to_string(path).expect("read")
        };
        assert_eq!((read(&first).as_str(), read(&second).as_str()), ("one", "two"));
    }

    #[test]
    fn a_build_whose_inputs_nobody_knows_runs_each_time() {
        let mut tree = tree();
        tree.build.inputs.clear();
        for text in ["one", "two"] {
            assert!(matches!(tree.ensure(make(text)), Ok(Built::Ran(_))), "{text}");
        }
    }

    #[test]
    fn a_build_that_writes_into_its_old_output_changes_no_kept_program() {
        let tree = tree();
        let Ok(Built::Ran(programs)) = tree.ensure(make("one")) else {
            panic!("not built")
        };
        std::fs::write(tree.dir.path().join("out/orders"), "two").expect("write into it");
        let path = programs.values().next().and_then(|p| p.path.clone()).expect("kept");
        assert_eq!(std::fs::read_to_string(path).expect("read"), "one");
    }

    #[test]
    fn a_script_runs_where_it_is_and_its_service_s_inputs_are_its_content() {
        let mut tree = tree();
        make("#!/bin/sh\n")(tree.dir.path());
        tree.plan.inputs = tree.build.inputs.clone();
        let builds = builds(&tree.dir, "1");
        let first = builds.take(&tree.plan).expect("taken");
        assert_eq!(first.path, Some(tree.dir.path().join("out/orders")));
        std::fs::write(tree.dir.path().join("main.rs"), "2").expect("write");
        assert_eq!(builds.taken(&tree.plan), Some(first.clone()), "as it was taken");
        assert_ne!(builds.take(&tree.plan).expect("taken").hash, first.hash);
    }

    #[test]
    fn a_link_runs_where_it_is_as_a_virtual_environment_s_interpreter_must() {
        let tree = tree();
        let link = tree.dir.path().join("out/orders");
        std::fs::create_dir_all(tree.dir.path().join("out")).expect("folder");
        std::os::unix::fs::symlink("/bin/sh", &link).expect("link");
        let taken = builds(&tree.dir, "1").take(&tree.plan).expect("taken");
        assert_eq!(taken.path, Some(link));
    }

    #[test]
    fn what_an_earlier_life_built_is_not_taken_without_a_look_at_its_inputs() {
        let tree = tree();
        let Ok(Built::Ran(programs)) = tree.ensure(make("one")) else {
            panic!("not built")
        };
        assert_eq!(builds(&tree.dir, "1").recorded("rust"), Some(programs.clone()));
        let later = builds(&tree.dir, "2");
        assert_eq!(later.recorded("rust"), None);
        let looked = later.ensure(&tree.build, &[&tree.plan], |_| panic!("built twice"));
        assert_eq!(looked.expect("cached"), Built::Cached(programs.clone()));
        assert_eq!(later.recorded("rust"), Some(programs));
    }

    #[test]
    fn a_failed_build_records_nothing() {
        let tree = tree();
        assert!(matches!(
            tree.ensure(|_| Exit::Code(101)),
            Err(BuildError::Failed { .. })
        ));
        assert!(matches!(tree.ensure(make("one")), Ok(Built::Ran(_))));
    }

    #[test]
    fn a_build_without_its_program_says_which() {
        let error = tree().ensure(|_| Exit::Code(0)).expect_err("no program").to_string();
        assert!(error.contains("out/orders after build rust"), "{error}");
    }

    #[test]
    fn a_lost_program_is_built_again() {
        let tree = tree();
        let Ok(Built::Ran(programs)) = tree.ensure(make("one")) else {
            panic!("not built")
        };
        let path = programs.values().next().and_then(|p| p.path.clone()).expect("kept");
        std::fs::remove_file(path).expect("remove");
        assert!(matches!(tree.ensure(make("one")), Ok(Built::Ran(_))));
    }

    #[test]
    fn the_running_program_is_kept_however_many_came_after_it() {
        let tree = tree();
        let built = |text: &'static str| {
            std::fs::write(tree.dir.path().join("main.rs"), text).expect("write");
            tree.ensure(make(text)).map(|built| match built {
                Built::Ran(programs) | Built::Cached(programs) => programs,
            })
        };
        let mut all = ["1", "2", "3", "4", "5"].map(|text| built(text).expect("built"));
        let first = all[0].pop_first().expect("kept").1;
        assert!(
            first.path.as_ref().is_some_and(|path| path.is_file()),
            "nobody said that it has ended"
        );
        let service = &tree.plan.service;
        let builds = builds(&tree.dir, "1");
        builds.forget_old(service, &first).expect("forgotten");
        let kept = std::fs::read_dir(tree.dir.path().join(".ondol/builds/orders")).expect("folder");
        assert_eq!(kept.count(), KEPT);
        assert!(first.path.is_some_and(|path| path.is_file()));
    }
}
