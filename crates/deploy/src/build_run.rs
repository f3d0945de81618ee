//! One run of the builds: those that share a tool's lock one after the other, the rest side by side.

use crate::builds::{BuildError, Builds, Built};
use crate::config::{BuildPlan, ServicePlan};
use crate::program::Programs;
use ondol_core::task::Tasks;
use ondol_core::wire::supervision::{Exit, JobSpec};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a job to its end and shows its lines.
pub(crate) type RunJob = dyn Fn(JobSpec, &mut dyn FnMut(String)) -> Result<Exit, String> + Send + Sync;

/// Tells the loop; nobody listens once it has ended.
pub(crate) type Tell = dyn Fn(BuildEvent) + Send + Sync;

/// What happens in a run.
#[derive(Debug)]
pub(crate) enum BuildEvent {
    /// Behind another with the same lock.
    Waiting(String),
    /// Runs; its last line.
    Running(String, String),
    /// Why there is no program.
    Failed(String, String),
    /// Programs by service; true when nothing had to run.
    Done(String, bool, Programs),
    /// No build of this run goes on.
    AllEnded,
}

struct Shared {
    builds: Builds,
    services: Vec<ServicePlan>,
    /// What was taken before is taken again where it is known.
    as_recorded: bool,
    job: Arc<RunJob>,
    tell: Arc<Tell>,
    left: AtomicUsize,
}

/// Starts `builds` on threads of their own, and settles those of `services` that have none.
pub(crate) fn start(
    kept: Builds,
    services: Vec<ServicePlan>,
    builds: Vec<BuildPlan>,
    as_recorded: bool,
    job: Arc<RunJob>,
    tell: Arc<Tell>,
) {
    let groups = groups(builds);
    let left = AtomicUsize::new(groups.len() + 1);
    let shared = Arc::new(Shared {
        builds: kept,
        services,
        as_recorded,
        job,
        tell,
        left,
    });
    for group in groups {
        thread(&shared, move |shared| shared.group(&group));
    }
    thread(&shared, Shared::unbuilt);
}

fn thread(shared: &Arc<Shared>, body: impl FnOnce(&Shared) + Send + 'static) {
    let of_thread = shared.clone();
    let whole = move || {
        body(&of_thread);
        of_thread.end_one();
    };
    if let Err(error) = Tasks::thread("build", whole) {
        tracing::error!(%error, "no thread to build with");
        shared.end_one();
    }
}

impl Shared {
    fn group(&self, builds: &[BuildPlan]) {
        for build in builds {
            (self.tell)(BuildEvent::Waiting(build.name.clone()));
        }
        builds.iter().for_each(|build| self.one(build));
    }

    fn one(&self, build: &BuildPlan) {
        let of_build = |service: &&ServicePlan| service.build.as_deref() == Some(&build.name);
        let services: Vec<&ServicePlan> = self.services.iter().filter(of_build).collect();
        if services.is_empty() {
            return;
        }
        let run = |spec: JobSpec| {
            let tell = |line: String| (self.tell)(BuildEvent::Running(build.name.clone(), line));
            tell(build.shown());
            (self.job)(spec, &mut |line| tell(line))
        };
        let event = match self.builds.ensure(build, &services, run) {
            Ok(Built::Cached(programs)) => BuildEvent::Done(build.name.clone(), true, programs),
            Ok(Built::Ran(programs)) => BuildEvent::Done(build.name.clone(), false, programs),
            Err(error) => BuildEvent::Failed(build.name.clone(), chain(&error)),
        };
        (self.tell)(event);
    }

    /// Services that nothing builds: their program is there, or it is an interpreter's and their inputs count.
    fn unbuilt(&self) {
        for service in self.services.iter().filter(|service| service.build.is_none()) {
            let name = service.service.to_string();
            let recorded = self.as_recorded.then(|| self.builds.taken(service)).flatten();
            let event = match recorded.map_or_else(|| self.builds.take(service), Ok) {
                Ok(program) => BuildEvent::Done(name, true, Programs::from([(service.service.clone(), program)])),
                Err(error) => BuildEvent::Failed(name, chain(&error)),
            };
            (self.tell)(event);
        }
    }

    fn end_one(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            (self.tell)(BuildEvent::AllEnded);
        }
    }
}

fn groups(builds: Vec<BuildPlan>) -> Vec<Vec<BuildPlan>> {
    let (mut locked, mut free) = (BTreeMap::<String, Vec<BuildPlan>>::new(), Vec::new());
    for build in builds {
        match &build.lock {
            Some(lock) => locked.entry(lock.clone()).or_default().push(build),
            None => free.push(vec![build]),
        }
    }
    free.extend(locked.into_values());
    free
}

/// An error with its causes, in one line.
fn chain(error: &BuildError) -> String {
    let mut text = format!("{}: {error}", error.code());
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn build(name: &str, lock: Option<&str>) -> BuildPlan {
        let lock = lock.map(Into::into);
        BuildPlan {
            name: name.into(),
            argv: vec![],
            dir: "/".into(),
            inputs: vec![],
            lock,
            refers: false,
        }
    }

    #[test]
    fn builds_with_one_lock_form_one_group() {
        let all = vec![
            build("a", Some("cargo")),
            build("b", None),
            build("c", Some("cargo")),
            build("d", Some("npm")),
        ];
        let names: Vec<Vec<_>> = groups(all)
            .into_iter()
            .map(|group| group.into_iter().map(|build| build.name).collect())
            .collect();
        assert_eq!(names, [vec!["b"], vec!["a", "c"], vec!["d"]]);
    }

    /// What a run tells, until it has ended.
    fn told(service: ServicePlan, builds: Vec<BuildPlan>, job: Arc<RunJob>) -> Vec<String> {
        let dir = tempfile::tempdir().expect("folder");
        let events = Arc::new(Mutex::new(Vec::new()));
        let (seen, (sender, ended)) = (events.clone(), std::sync::mpsc::channel());
        let tell = move |event: BuildEvent| {
            if matches!(event, BuildEvent::AllEnded) {
                sender.send(()).expect("open");
            }
            seen.lock().expect("lock").push(format!("{event:?}"));
        };
        let boot = ondol_core::id::BootId {
            system: "s".into(),
            boot: "b".into(),
        };
        start(
            Builds::new(dir.path(), &boot),
            vec![service],
            builds,
            false,
            job,
            Arc::new(tell),
        );
        ended.recv().expect("ended");
        let events = events.lock().expect("lock");
        events.clone()
    }

    #[test]
    fn a_run_without_builds_ends() {
        let mut service = crate::fixtures::service("orders");
        service.run = vec!["missing/program".into()];
        let events = told(service, vec![], Arc::new(|_, _| Err("no job".into())));
        assert!(events[0].contains("DP-003"), "{events:?}");
    }

    #[test]
    fn what_a_variable_gave_to_a_build_is_shown_neither_while_it_runs_nor_when_it_fails() {
        let mut service = crate::fixtures::service("orders");
        service.build = Some("rust".into());
        let build = BuildPlan {
            argv: ["make", "hunter2"].map(Into::into).into(),
            refers: true,
            ..build("rust", None)
        };
        let job = |spec: JobSpec, _: &mut dyn FnMut(String)| {
            assert_eq!(spec.argv[1], "hunter2");
            Ok(Exit::Code(1))
        };
        let events = told(service, vec![build], Arc::new(job));
        assert!(events.iter().any(|event| event.contains("DP-002")), "{events:?}");
        assert!(events.iter().any(|event| event.contains("Running")), "{events:?}");
        assert!(!events.iter().any(|event| event.contains("hunter2")), "{events:?}");
    }
}
