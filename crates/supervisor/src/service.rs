//! The loop: wakes by a signal, mail or a time, tells whom it concerns, publishes what changed.
//!
//! One thread owns all of this; the others (clients, probes, the reader of pipes) only send it mail. It alone forks and waits
//! for processes. What clients ask for is in `requests.rs`. Everything in it is bounded: instances, jobs, sockets, waiting clients (by the number of connections).

use crate::facts::Board;
use crate::handover::Handover;
use crate::instance::Instance;
use crate::jobs::Jobs;
use crate::machine::Event;
use crate::mail::{Answer, Mail};
use crate::ports::Ports;
use crate::requests::Waiting;
use crate::signals::Signals;
use crate::sockets::Sockets;
use crate::spawn::Process;
use crate::tools::Tools;
use crate::wake::{Wake, wait_readable};
use ondol_core::id::InstanceId;
use ondol_core::wire::supervision::{Exit, Facts, Phase};
use rustix::process::{WaitOptions, WaitStatus, wait};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

/// Of those, so many that have stopped.
const STOPPED: usize = 64;

/// Everything the supervisor runs.
pub(crate) struct Service {
    pub tools: Tools,
    pub board: Arc<Board>,
    pub ports: Ports,
    pub sockets: Sockets,
    pub roles: Vec<Instance>,
    pub instances: BTreeMap<InstanceId, Instance>,
    pub jobs: Jobs,
    pub tries: Vec<Try>,
    pub waiting: Vec<Waiting>,
    /// At most one for each role.
    pub handovers: Vec<Handover>,
    /// Sent once the facts are out: who asked and then looks sees what was done.
    pub answers: Vec<(SyncSender<Answer>, Answer)>,
    pub stopping: bool,
}

/// A readiness command that runs.
pub(crate) struct Try {
    process: Process,
    deadline: Duration,
    reply: SyncSender<bool>,
}

impl Service {
    /// Runs until everything has been stopped as told.
    ///
    /// # Errors
    /// Those of `poll`.
    pub(crate) fn run(&mut self, mail: &Receiver<Mail>, wake: &Wake, signals: &Signals) -> io::Result<()> {
        for role in &mut self.roles {
            role.handle(Event::Start, &mut self.tools);
        }
        loop {
            self.publish();
            for (client, answer) in self.answers.drain(..) {
                // The client may be gone.
                let _ = client.try_send(answer);
            }
            if self.stopping && self.is_over() {
                return Ok(());
            }
            wait_readable([wake.as_fd(), signals.told(), signals.child()], self.pause())?;
            wake.clear();
            if signals.take_told() {
                self.told_by_signal();
            }
            signals.take_child();
            self.reap();
            self.tools.memory.look(self.tools.clock.mono());
            while let Ok(mail) = mail.try_recv() {
                self.take(mail);
            }
            self.tick();
        }
    }

    fn is_over(&self) -> bool {
        self.all().all(|instance| !instance.machine.may_run()) && self.jobs.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Instance> {
        self.roles.iter().chain(self.instances.values())
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.roles.iter_mut().chain(self.instances.values_mut())
    }

    /// How long nothing is due.
    fn pause(&self) -> Option<Duration> {
        let tries = self.tries.iter().map(|tried| tried.deadline);
        let handovers = self.handovers.iter().map(|handover| handover.deadline);
        let due = self
            .all()
            .filter_map(|instance| instance.machine.due())
            .chain(self.jobs.due())
            .chain(tries)
            .chain(handovers)
            .min();
        due.map(|due| due.saturating_sub(self.tools.clock.mono()))
    }

    /// What everyone may read from now on.
    pub(crate) fn publish(&self) {
        self.board.publish(self.facts());
    }

    fn facts(&self) -> Facts {
        Facts {
            boot: self.tools.boot.clone(),
            version: 0, // The board counts.
            pid: std::process::id(),
            roles: self.roles.iter().map(Instance::fact).collect(),
            instances: self.instances.values().map(Instance::fact).collect(),
            jobs: self.jobs.names(),
            stopping: self.stopping,
        }
    }

    /// The first signal stops in order, the second at once.
    fn told_by_signal(&mut self) {
        if self.stopping {
            let now = self.tools.clock.mono();
            self.all_mut().for_each(|instance| instance.machine.hurry(now));
        }
        self.stopping = true;
    }

    /// Waits for every process that has ended: leaders, commands, and orphans that became ours.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let exit = exit_of(status);
            if let Some(at) = self.tries.iter().position(|tried| tried.process.pid == pid) {
                // The probe may have been dropped meanwhile.
                let _ = self.tries.swap_remove(at).reply.try_send(exit == Exit::Code(0));
            } else if !self.jobs.leader_ended(pid, &exit, &mut self.tools) {
                let Self {
                    roles,
                    instances,
                    tools,
                    ..
                } = self;
                let leader = roles
                    .iter_mut()
                    .chain(instances.values_mut())
                    .find(|instance| instance.is_leader(pid));
                if let Some(instance) = leader {
                    instance.leader_ended(exit, tools);
                }
            }
        }
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Ask(request, reply) => {
                if let Some(answer) = self.ask(request, &reply) {
                    self.answers.push((reply, answer));
                }
            }
            Mail::Ready(life) => self.tell(life, Event::Ready),
            Mail::NotYet(life, why) => {
                if let Some(instance) = self.all_mut().find(|instance| instance.is_life(life)) {
                    instance.not_yet(why);
                }
            }
            Mail::Try(life, reply) => self.try_ready(life, reply),
            Mail::Drained(life) => {
                self.jobs.drained(life);
                let Self { roles, instances, .. } = self;
                let mut known = roles.iter_mut().chain(instances.values_mut());
                if let Some(instance) = known.find(|instance| instance.start() == life) {
                    instance.add_last_words();
                }
            }
            Mail::Abandoned(life) => self.jobs.abandon(life, self.tools.clock.mono()),
        }
    }

    fn tell(&mut self, life: u64, event: Event) {
        let Self { instances, tools, .. } = self;
        if let Some(instance) = instances.values_mut().find(|instance| instance.is_life(life)) {
            instance.handle(event, tools);
        }
    }

    fn try_ready(&mut self, life: u64, reply: SyncSender<bool>) {
        let Some(instance) = self.instances.values().find(|instance| instance.is_life(life)) else {
            return;
        };
        let deadline = self.tools.clock.mono() + Duration::from_millis(instance.spec.ready_timeout_ms);
        match instance.try_ready(&self.tools) {
            Some(process) => self.tries.push(Try {
                process,
                deadline,
                reply,
            }),
            None => {
                let _ = reply.try_send(false);
            }
        }
    }

    fn tick(&mut self) {
        let now = self.tools.clock.mono();
        for tried in self.tries.iter_mut().filter(|tried| now >= tried.deadline) {
            tried.process.kill();
            // Its end is waited for like any other; until then it is not looked at again.
            tried.deadline = now + Duration::from_secs(60);
        }
        if self.stopping {
            self.stop_next(now);
        }
        self.jobs.tick(&self.tools);
        let Self {
            roles,
            instances,
            tools,
            ..
        } = self;
        for instance in roles.iter_mut().chain(instances.values_mut()) {
            instance.handle(Event::Tick, tools);
        }
        self.look_at_handovers();
        self.answer_waiting();
        self.forget_stopped();
    }

    /// Jobs first, then services by descending rank, each rank when the one above it is gone, roles last.
    fn stop_next(&mut self, now: Duration) {
        self.jobs.abandon_all(now);
        let Self {
            roles,
            instances,
            tools,
            ..
        } = self;
        let left = |instance: &&mut Instance| !matches!(instance.machine.phase(), Phase::Stopped | Phase::Failed);
        let mut services: Vec<&mut Instance> = instances.values_mut().filter(left).collect();
        match services.iter().map(|instance| instance.spec.rank).max() {
            Some(rank) => {
                let of_rank = services.iter_mut().filter(|instance| instance.spec.rank == rank);
                of_rank.for_each(|instance| instance.handle(Event::Stop, tools));
            }
            None => roles
                .iter_mut()
                .rev()
                .filter(left)
                .for_each(|role| role.handle(Event::Stop, tools)),
        }
    }

    /// Keeps the latest that stopped.
    fn forget_stopped(&mut self) {
        let stopped = self
            .instances
            .values()
            .filter(|instance| instance.machine.phase() == Phase::Stopped);
        let mut starts: Vec<u64> = stopped.map(Instance::start).collect();
        if starts.len() > STOPPED {
            starts.sort_unstable();
            let oldest_kept = starts[starts.len() - STOPPED];
            self.instances
                .retain(|_, instance| instance.machine.phase() != Phase::Stopped || instance.start() >= oldest_kept);
        }
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        // Only ends are asked for, and an end is one of the two.
        (None, None) => Exit::Code(-1),
    }
}
