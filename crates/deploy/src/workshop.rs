//! The builds as the loop sees them: the run that goes on, how far each build is, and the program of each service.
//!
//! What a build does is in `builds.rs`, which run side by side in `build_run.rs`; both work on threads of their own and
//! come back as [`BuildEvent`]s.

use crate::build_run::{self, BuildEvent, RunJob, Tell};
use crate::builds::Builds;
use crate::config::{BuildPlan, ServicePlan, SystemPlan};
use crate::program::Program;
use crate::status::{BuildState, BuildStatus};
use ondol_core::clock::Timestamp;
use ondol_core::id::{BootId, ServiceName};
use ondol_core::wire::supervision::{Facts, Phase};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What a run of the builds is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Run {
    /// The system starts, or its manifests are others.
    All,
    /// A controller came back: what was built within this supervisor's life is taken without a look at its inputs.
    AsRecorded,
    /// Some file changed. Builds whose inputs nobody knows stay as they are: what they write would start them again.
    Changed,
    /// Another configuration was taken: only what has no program yet, whatever else changed in the sources meanwhile.
    Missing,
}

pub(crate) struct Workshop {
    builds: Builds,
    runs: bool,
    programs: BTreeMap<ServiceName, Program>,
    status: BTreeMap<String, BuildStatus>,
}

impl Workshop {
    /// For the system whose state is in `state` (`.ondol`), in the supervisor's life `boot`.
    pub(crate) fn new(state: &Path, boot: &BootId) -> Self {
        Self {
            builds: Builds::new(state, boot),
            runs: false,
            programs: BTreeMap::new(),
            status: BTreeMap::new(),
        }
    }

    /// Whether a run goes on.
    pub(crate) fn is_busy(&self) -> bool {
        self.runs
    }

    /// What the service runs; `None` until it is built.
    pub(crate) fn program(&self, service: &ServiceName) -> Option<&Program> {
        self.programs.get(service)
    }

    /// How far a build is.
    pub(crate) fn status(&self, build: &str) -> Option<&BuildStatus> {
        self.status.get(build)
    }

    /// Starts a run of the builds.
    pub(crate) fn start(&mut self, plan: &SystemPlan, run: Run, now: Timestamp, job: Arc<RunJob>, tell: Arc<Tell>) {
        let (mut left, as_recorded) = (Vec::new(), run == Run::AsRecorded);
        let concerned: Vec<_> = plan
            .builds
            .values()
            .filter(|build| self.concerns(run, plan, build))
            .collect();
        for build in concerned {
            match as_recorded.then(|| self.builds.recorded(&build.name)).flatten() {
                Some(programs) => self.take(BuildEvent::Done(build.name.clone(), true, programs), now),
                None => left.push(build.clone()),
            }
        }
        self.runs = true;
        let here = plan.services.iter().filter(|service| service.skipped.is_none());
        let settled = |service: &&ServicePlan| {
            run == Run::Missing && service.build.is_none() && self.programs.contains_key(&service.service)
        };
        let services = here.filter(|service| !settled(service)).cloned().collect();
        build_run::start(self.builds.clone(), services, left, as_recorded, job, tell);
    }

    fn concerns(&self, run: Run, plan: &SystemPlan, build: &BuildPlan) -> bool {
        match run {
            Run::All | Run::AsRecorded => true,
            Run::Changed => !build.inputs.is_empty() || self.status(&build.name).is_none(),
            Run::Missing => {
                let mut services = plan.services.iter().filter(|service| service.skipped.is_none());
                services.any(|service| {
                    service.build.as_ref() == Some(&build.name) && !self.programs.contains_key(&service.service)
                })
            }
        }
    }

    /// What a run tells.
    pub(crate) fn take(&mut self, event: BuildEvent, now: Timestamp) {
        match event {
            BuildEvent::Waiting(build) => self.set(build, BuildState::Waiting, String::new(), now),
            BuildEvent::Running(build, line) => self.set(build, BuildState::Running, line, now),
            BuildEvent::Failed(build, why) => {
                tracing::error!(build, why, "build failed");
                self.set(build, BuildState::Failed, why, now);
            }
            BuildEvent::Done(build, cached, programs) => {
                let state = if cached { BuildState::Cached } else { BuildState::Done };
                self.set(build, state, String::new(), now);
                self.programs.extend(programs);
            }
            BuildEvent::AllEnded => self.runs = false,
        }
    }

    fn set(&mut self, build: String, state: BuildState, line: String, now: Timestamp) {
        let same = self.status.get(&build).filter(|old| old.state == state);
        let since = same.map_or(now, |old| old.since);
        let status = BuildStatus {
            build: build.clone(),
            state,
            since,
            line,
        };
        self.status.insert(build, status);
    }

    /// The manifests changed: a program that was made in another way, or is asked for in another way, is not taken for
    /// the new one. Such a service goes on as it is until it is built again.
    pub(crate) fn replan(&mut self, old: &SystemPlan, new: &SystemPlan) {
        fn made<'a>(plan: &'a SystemPlan, service: &ServiceName) -> Option<impl PartialEq + use<'a>> {
            let service = plan.services.iter().find(|known| &known.service == service)?;
            let build = service.build.as_ref().and_then(|build| plan.builds.get(build));
            Some((&service.run, &service.dir, &service.inputs, build))
        }
        self.programs
            .retain(|service, _| made(new, service).is_some_and(|now| made(old, service) == Some(now)));
        self.status.retain(|build, _| new.builds.contains_key(build));
    }

    /// Removes old programs of services that run only their current release, named by `release`.
    pub(crate) fn forget_old<'a>(
        &self,
        services: &'a [ServicePlan],
        facts: &Facts,
        release: impl Fn(&'a ServicePlan) -> Option<String>,
    ) {
        for plan in services {
            let (Some(program), Some(release)) = (self.program(&plan.service), release(plan)) else {
                continue;
            };
            let settled = facts
                .of(&plan.service)
                .all(|fact| fact.phase == Phase::Stopped || fact.release == release);
            if settled && let Err(error) = self.builds.forget_old(&plan.service, program) {
                tracing::warn!(service = %plan.service, %error, "an old program cannot be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{service, system};

    #[test]
    fn a_changed_command_does_not_run_the_program_of_the_old_one() {
        let old = system(vec![service("a"), service("b"), service("c")]);
        let boot = BootId {
            system: "s".into(),
            boot: "b".into(),
        };
        let mut workshop = Workshop::new(Path::new("/none"), &boot);
        for plan in &old.services {
            let program = Program {
                hash: "h".into(),
                path: None,
            };
            workshop.programs.insert(plan.service.clone(), program);
        }
        let mut new = old.clone();
        new.services[0].run = vec!["other".into()];
        new.services[1].env.insert("A".into(), "b".into());
        new.services.pop();
        workshop.replan(&old, &new);
        let left: Vec<_> = workshop.programs.keys().map(ServiceName::as_str).collect();
        assert_eq!(left, ["b"]);
    }

    #[test]
    fn a_build_of_unknown_inputs_runs_at_starts_and_not_with_every_change() {
        let boot = BootId {
            system: "s".into(),
            boot: "b".into(),
        };
        let mut workshop = Workshop::new(Path::new("/none"), &boot);
        let mut build = BuildPlan {
            name: "a".into(),
            argv: vec![],
            dir: "/".into(),
            inputs: vec![],
            lock: None,
            refers: false,
        };
        let mut plan = system(vec![service("a")]);
        plan.services[0].build = Some("a".into());
        assert!(workshop.concerns(Run::Changed, &plan, &build), "it never ran");
        workshop.take(BuildEvent::Failed("a".into(), "no luck".into()), Timestamp(0));
        assert!(workshop.concerns(Run::All, &plan, &build) && !workshop.concerns(Run::Changed, &plan, &build));
        build.inputs = vec!["/src/**".into()];
        assert!(workshop.concerns(Run::Changed, &plan, &build));
        // Another configuration builds what has no program, and nothing else.
        assert!(workshop.concerns(Run::Missing, &plan, &build));
        let program = Program {
            hash: "h".into(),
            path: None,
        };
        workshop.programs.insert(plan.services[0].service.clone(), program);
        assert!(!workshop.concerns(Run::Missing, &plan, &build));
    }
}
