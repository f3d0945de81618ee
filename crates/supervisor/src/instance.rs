//! One instance: its machine's decisions carried out.

use crate::error::Refusal;
use crate::machine::{CAP, Effect, Event, Machine, Policy};
use crate::ports::{free_or_say, listen_or_say, loopback};
use crate::probe::{Probe, Prober};
use crate::pump::LastWords;
use crate::spawn::Process;
use crate::tools::{Life, Plan, Tools};
use ondol_core::clock::Timestamp;
use ondol_core::wire::supervision::{Containment, Exit, InstanceFact, InstanceSpec, Phase, Readiness, SocketMode};
use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The longest back-off of a role: without it nothing works.
const ROLE_CAP: Duration = Duration::from_secs(5);
const REGEX_BYTES: usize = 1 << 20;

/// What runs under one id.
pub(crate) struct Instance {
    pub spec: InstanceSpec,
    pub machine: Machine,
    source: Arc<str>,
    role: bool,
    /// A role that says itself when it serves.
    announces: bool,
    ready_line: Option<Regex>,
    life: Option<Life>,
    /// The life's leader was waited for.
    leader_ended: bool,
    prober: Option<Prober>,
    /// With `fds`: kept over lives, so that clients wait while there is none.
    listener: Option<OwnedFd>,
    start: u64,
    starts: u32,
    since: Timestamp,
    started_at: Option<Timestamp>,
    until: Option<Timestamp>,
    reason: Option<String>,
    /// How the last life ended, in words, until the next is ready.
    death: Option<String>,
    words: LastWords,
    containment: Containment,
}

impl Instance {
    /// A service's instance, not started.
    ///
    /// # Errors
    /// When the spec cannot be run by anyone.
    pub(crate) fn service(spec: InstanceSpec, now: Timestamp) -> Result<Self, Refusal> {
        let policy = Policy {
            start_within: Some(Duration::from_millis(spec.start_within_ms)),
            stop_within: Duration::from_millis(spec.stop_within_ms),
            cap: CAP,
            gives_up: true,
        };
        let ready_line = checked(&spec)?;
        let source = spec.id.to_string().into();
        Ok(Self::new(spec, policy, source, ready_line, now))
    }

    /// A role, never given up. It is ready as soon as it runs, or when it says so.
    pub(crate) fn role(spec: InstanceSpec, announces: bool, now: Timestamp) -> Self {
        let stop_within = Duration::from_millis(spec.stop_within_ms);
        let policy = Policy {
            start_within: None,
            stop_within,
            cap: ROLE_CAP,
            gives_up: false,
        };
        let source = spec.id.service.as_str().into();
        Self {
            role: true,
            announces,
            ..Self::new(spec, policy, source, None, now)
        }
    }

    fn new(spec: InstanceSpec, policy: Policy, source: Arc<str>, ready_line: Option<Regex>, now: Timestamp) -> Self {
        Self {
            spec,
            machine: Machine::new(policy),
            source,
            role: false,
            announces: false,
            ready_line,
            life: None,
            leader_ended: true,
            prober: None,
            listener: None,
            start: 0,
            starts: 0,
            since: now,
            started_at: None,
            until: None,
            reason: None,
            death: None,
            words: LastWords::default(),
            containment: Containment::Group,
        }
    }

    /// Tells the machine, and does what it says until it says nothing more.
    pub(crate) fn handle(&mut self, event: Event, tools: &mut Tools) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let before = self.machine.phase();
            let effect = self.machine.step(&event, tools.clock.mono(), &*tools.entropy);
            self.explain(&event, before, tools);
            next = match effect {
                Some(Effect::Spawn) => self.spawn(tools),
                Some(Effect::Retire) => self.tell_leader(Process::retire),
                Some(Effect::Terminate) => self.tell_leader(Process::terminate),
                Some(Effect::Kill) => self.kill(),
                None => None,
            };
        }
        if matches!(self.machine.phase(), Phase::Stopped | Phase::Failed) {
            // Nobody will answer: clients are refused now instead of kept waiting.
            self.listener = None;
        }
    }

    fn tell_leader(&self, tell: fn(&Process)) -> Option<Event> {
        let life = self.life.as_ref().filter(|_| !self.leader_ended);
        life.inspect(|life| tell(&life.process));
        None
    }

    /// The leader of this life was waited for.
    pub(crate) fn leader_ended(&mut self, exit: Exit, tools: &mut Tools) {
        self.leader_ended = true;
        self.prober = None;
        let killed = exit == Exit::Signal(9) && self.life.as_ref().is_some_and(|life| tools.memory.killed(&life.tree));
        self.handle(Event::Exited(if killed { Exit::OutOfMemory } else { exit }), tools);
    }

    /// Why it is not ready yet.
    pub(crate) fn not_yet(&mut self, why: String) {
        if self.machine.phase() == Phase::Starting {
            self.reason = Some(why);
        }
    }

    /// Starts the command that tells whether it is ready.
    pub(crate) fn try_ready(&self, tools: &Tools) -> Option<Process> {
        let (Some(life), Readiness::Exec(argv)) = (&self.life, &self.spec.ready) else {
            return None;
        };
        tools.start_beside(life, Plan { argv, ..self.plan() }).ok()
    }

    /// Refuses when its port is held by somebody else.
    pub(crate) fn port_is_free(&self) -> Result<(), Refusal> {
        match self.spec.socket {
            Some(_) if self.listener.is_none() => free_or_say(self.spec.port),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn is_life(&self, number: u64) -> bool {
        self.life.as_ref().is_some_and(|life| life.number == number)
    }

    pub(crate) fn is_leader(&self, pid: rustix::process::Pid) -> bool {
        !self.leader_ended && self.life.as_ref().is_some_and(|life| life.process.pid == pid)
    }

    pub(crate) fn is_role(&self) -> bool {
        self.role
    }

    pub(crate) fn announces(&self) -> bool {
        self.announces
    }

    /// Rises with every start.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("no reason is known")
    }

    pub(crate) fn fact(&self) -> InstanceFact {
        let phase = self.machine.phase();
        let pid = self
            .life
            .as_ref()
            .filter(|_| !self.leader_ended)
            .map(|life| life.process.pid.as_raw_nonzero().get());
        InstanceFact {
            id: self.spec.id.clone(),
            phase,
            pid: pid.and_then(|pid| u32::try_from(pid).ok()),
            port: self.spec.port,
            release: self.spec.release.clone(),
            start: self.start,
            since: self.since,
            started_at: self.started_at,
            restarts: self.starts.saturating_sub(1),
            last_exit: self.machine.last_exit.clone(),
            reason: self.reason.clone(),
            until: self.until,
            containment: self.containment,
        }
    }

    fn spawn(&mut self, tools: &mut Tools) -> Option<Event> {
        self.starts += 1;
        match self.new_life(tools) {
            Ok(()) => (self.role && !self.announces).then_some(Event::Ready),
            Err(why) => Some(Event::CannotSpawn(why)),
        }
    }

    fn new_life(&mut self, tools: &mut Tools) -> Result<(), String> {
        self.port_is_free().map_err(|refusal| refusal.to_string())?;
        if self.spec.socket == Some(SocketMode::Fds) && self.listener.is_none() {
            let listener = listen_or_say(loopback(self.spec.port)).map_err(|refusal| refusal.to_string())?;
            self.listener = Some(listener);
        }
        let plan = Plan {
            listener: self.listener.as_ref().map(AsFd::as_fd),
            ..self.plan()
        };
        let life = tools.start(plan)?;
        self.containment = life.tree.level();
        self.start = life.number;
        self.started_at = Some(tools.clock.wall());
        self.leader_ended = false;
        if !self.role {
            let probe = Probe {
                life: life.number,
                ready: self.spec.ready.clone(),
                port: self.spec.port,
                socket: self.spec.socket,
                interval: Duration::from_millis(self.spec.ready_interval_ms),
                timeout: Duration::from_millis(self.spec.ready_timeout_ms),
                tree: life.tree.clone(),
            };
            // Without the thread it is never ready, and tried again after `start_within`.
            self.prober = Prober::start(probe, tools.inbox.clone(), tools.clock.clone())
                .ok()
                .flatten();
        }
        self.words = life.words.clone();
        self.life = Some(life);
        Ok(())
    }

    fn plan(&self) -> Plan<'_> {
        let mut env: BTreeMap<OsString, OsString> = self
            .spec
            .env
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        if self.spec.socket == Some(SocketMode::Port) {
            env.insert("PORT".into(), self.spec.port.to_string().into());
        }
        Plan {
            argv: &self.spec.argv,
            env,
            dir: &self.spec.dir,
            listener: None,
            with_supervisor: false,
            source: &self.source,
            ready_line: self.ready_line.clone(),
        }
    }

    fn kill(&mut self) -> Option<Event> {
        self.prober = None;
        let gone = self.life.as_ref().is_none_or(|life| life.tree.kill()) && self.leader_ended;
        if gone {
            self.life = None;
        }
        gone.then_some(Event::Gone)
    }

    /// Keeps what people are told in step with the machine.
    fn explain(&mut self, event: &Event, before: Phase, tools: &Tools) {
        let phase = self.machine.phase();
        if phase != before {
            self.since = tools.clock.wall();
            // Read once, so that the fact does not change with every look at the clocks.
            self.until = None;
        }
        if let (Some(due), None) = (self.machine.starts_at(), self.until) {
            self.until = Some(tools.clock.wall().plus(due.saturating_sub(tools.clock.mono())));
        }
        match event {
            Event::Ready | Event::Start | Event::Restart | Event::Stop | Event::Retire(_) => {
                (self.reason, self.death) = (None, None);
            }
            Event::CannotSpawn(why) => self.tell(why.clone(), tools),
            Event::Exited(_) | Event::Tick if phase != before && phase != Phase::Starting => self.died(tools),
            Event::Exited(_) | Event::Tick | Event::Gone => {}
        }
    }

    /// Says why, unless it was told to.
    fn died(&mut self, tools: &Tools) {
        let exit = self.machine.last_exit.clone().filter(|exit| *exit != Exit::Told);
        let Some(exit) = exit else { return };
        let waited = self.reason.take().filter(|_| exit == Exit::NotReady);
        let text = match waited {
            Some(why) => format!("{}: {why}", describe(&exit)),
            None => describe(&exit),
        };
        self.death = Some(text.clone());
        self.tell(text, tools);
        self.add_last_words();
    }

    /// Completes the reason, again once its output was read to the end: only then is it sure what it said last.
    pub(crate) fn add_last_words(&mut self) {
        if let (Some(death), Some(words)) = (&self.death, self.words.get()) {
            self.reason = Some(format!("{death}; its last line: {words}"));
        }
    }

    fn tell(&mut self, text: String, tools: &Tools) {
        tools.logs.say(&self.source, text.clone());
        self.reason = Some(text);
    }
}

/// Refuses what no machine could run; returns the line that says ready, if one does.
fn checked(spec: &InstanceSpec) -> Result<Option<Regex>, Refusal> {
    let invalid = |why: &str| Refusal::Invalid {
        name: spec.id.to_string(),
        why: why.to_owned(),
    };
    if spec.argv.is_empty() || spec.argv.iter().any(|arg| arg.contains('\0')) {
        return Err(invalid("it names no program, or one with a zero byte"));
    }
    if spec
        .env
        .iter()
        .any(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
    {
        return Err(invalid("a variable has no name, or a zero byte in it"));
    }
    if !spec.dir.is_absolute() {
        return Err(invalid("its folder is not absolute"));
    }
    if spec.socket.is_some() && spec.port == 0 {
        return Err(invalid("it listens and has no port; ask for one first"));
    }
    match (&spec.ready, spec.socket) {
        (Readiness::Tcp | Readiness::Http(_), None) => {
            Err(invalid("it does not listen, so no port can tell that it is ready"))
        }
        (Readiness::Tcp, Some(SocketMode::Fds)) => Err(invalid(
            "with socket: fds the port answers before the program runs; use http, log or exec",
        )),
        (Readiness::Http(path), _)
            if !path.starts_with('/') || path.contains(|c: char| c.is_ascii_control() || c == ' ') =>
        {
            Err(invalid("the path of its readiness is not one"))
        }
        (Readiness::Exec(argv), _) if argv.is_empty() => Err(invalid("its readiness command is empty")),
        (Readiness::Log(regex), _) => {
            let regex = RegexBuilder::new(regex).size_limit(REGEX_BYTES).build();
            regex
                .map(Some)
                .map_err(|error| invalid(&format!("its readiness expression: {error}")))
        }
        _ => Ok(None),
    }
}

/// An end in words.
pub(crate) fn describe(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
        Exit::OutOfMemory => "killed by the kernel for lack of memory".into(),
        Exit::NotReady => "not ready in time".into(),
        Exit::Told => "stopped as told".into(),
        Exit::Spawn(why) => why.clone(),
    }
}
