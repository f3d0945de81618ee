//! What clients ask of the loop: done at once, or answered when an instance has ended or started.

use crate::error::Refusal;
use crate::instance::Instance;
use crate::machine::Event;
use crate::mail::Answer;
use crate::service::Service;
use ondol_core::id::InstanceId;
use ondol_core::wire::supervision::{InstanceSpec, Phase, Reply, Request};
use std::sync::mpsc::SyncSender;

/// Instances that are known, running or not.
const INSTANCES: usize = 1_024;

/// A client that waits for an instance.
pub(crate) struct Waiting {
    id: InstanceId,
    wants: Wants,
    reply: SyncSender<Answer>,
}

enum Wants {
    Ended,
    /// A start after this one.
    Started(u64),
}

impl Service {
    /// Answers at once, or keeps the client waiting.
    pub(crate) fn ask(&mut self, request: Request, reply: &SyncSender<Answer>) -> Option<Answer> {
        let answer = match request {
            Request::Facts | Request::Watch | Request::Logs { .. } => return Some(Answer::Reply(Reply::Done)),
            Request::Shutdown => {
                self.stopping = true;
                Ok(Answer::Reply(Reply::Done))
            }
            Request::Retain(names) => {
                self.sockets.retain(&names.into_iter().collect());
                Ok(Answer::Reply(Reply::Done))
            }
            Request::TakeSocket(name) => self.sockets.take(&name).map(Answer::Socket),
            _ if self.stopping => Err(Refusal::Stopping),
            Request::Listen(asked) => self
                .sockets
                .listen(asked, &mut self.ports)
                .map(|bound| Answer::Reply(Reply::Bound(bound))),
            Request::Ports(ids) => self.give_ports(ids).map(|ports| Answer::Reply(Reply::Ports(ports))),
            Request::Start(spec) => self.start(*spec).map(|()| Answer::Reply(Reply::Done)),
            Request::RunJob(spec) => {
                let name = spec.name.clone();
                self.jobs
                    .start(*spec, &mut self.tools)
                    .map(|end| Answer::Job { end, name })
            }
            Request::Upgrade {
                role,
                program,
                hand_over: Some(how),
            } => match self.hand_over(&role, &program, how, reply) {
                Ok(()) => return None,
                Err(refusal) => Err(refusal),
            },
            Request::Upgrade {
                role,
                program,
                hand_over: None,
            } => match self.exchange(&role, &program) {
                Ok((id, start)) => return self.wait(id, Wants::Started(start), reply),
                Err(refusal) => Err(refusal),
            },
            Request::Serving(life) => self.serving(life).map(|()| Answer::Reply(Reply::Done)),
            Request::Stop(id) => return self.end(id, Event::Stop, reply),
            Request::Restart(id) => return self.end(id, Event::Restart, reply),
        };
        Some(answer.unwrap_or_else(Answer::from))
    }

    fn give_ports(&mut self, ids: Vec<InstanceId>) -> Result<Vec<(InstanceId, u16)>, Refusal> {
        let Self { ports, instances, .. } = self;
        let runs = |name: &str| {
            let instance = name.parse().ok().and_then(|id: InstanceId| instances.get(&id));
            instance.is_some_and(|instance| !matches!(instance.machine.phase(), Phase::Stopped | Phase::Failed))
        };
        ids.into_iter()
            .map(|id| Ok((id.clone(), ports.of(&id.to_string(), runs)?)))
            .collect()
    }

    fn start(&mut self, spec: InstanceSpec) -> Result<(), Refusal> {
        let id = spec.id.clone();
        if self.instances.len() >= INSTANCES && !self.instances.contains_key(&id) {
            return Err(Refusal::TooMany {
                what: "instances",
                limit: INSTANCES,
            });
        }
        let known = self.instances.get(&id).map(|instance| instance.machine.phase());
        if known.is_some_and(|phase| !matches!(phase, Phase::Stopped | Phase::Failed)) {
            return Err(Refusal::RunsAlready(id));
        }
        let mut instance = Instance::service(spec, self.tools.clock.wall())?;
        instance.port_is_free()?;
        instance.handle(Event::Start, &mut self.tools);
        let failed = instance.machine.phase() == Phase::Failed;
        let reason = instance.reason().to_owned();
        self.instances.insert(id.clone(), instance);
        if failed {
            Err(Refusal::Spawn {
                name: id.to_string(),
                reason,
            })
        } else {
            Ok(())
        }
    }

    fn end(&mut self, id: InstanceId, event: Event, reply: &SyncSender<Answer>) -> Option<Answer> {
        let Self {
            roles,
            instances,
            tools,
            ..
        } = self;
        let mut known = roles.iter_mut().chain(instances.values_mut());
        let Some(instance) = known.find(|instance| instance.spec.id == id) else {
            return Some(Refusal::NoInstance(id).into());
        };
        let refused = match (&event, instance.is_role()) {
            (Event::Stop, true) => Some("a role ends only with the supervisor; restart it, or stop everything"),
            (_, true) if instance.machine.is_told_to_end() => Some("it ends, and another one has taken over"),
            _ => None,
        };
        if let Some(why) = refused.map(str::to_owned) {
            return Some(
                Refusal::Invalid {
                    name: id.to_string(),
                    why,
                }
                .into(),
            );
        }
        let wants = if event == Event::Stop {
            Wants::Ended
        } else {
            Wants::Started(instance.start())
        };
        instance.handle(event, tools);
        self.wait(id, wants, reply)
    }

    fn wait(&mut self, id: InstanceId, wants: Wants, reply: &SyncSender<Answer>) -> Option<Answer> {
        let reply = reply.clone();
        self.waiting.push(Waiting { id, wants, reply });
        None
    }

    fn serving(&mut self, life: u64) -> Result<(), Refusal> {
        let Self { roles, tools, .. } = self;
        let role = roles.iter_mut().find(|role| role.is_life(life) && role.announces());
        let role = role.ok_or_else(|| Refusal::Invalid {
            name: format!("life {life}"),
            why: "it is no role's that says when it serves".into(),
        })?;
        role.handle(Event::Ready, tools);
        Ok(())
    }

    /// Answers those whose instance is where they want it.
    pub(crate) fn answer_waiting(&mut self) {
        let stopping = self.stopping;
        let Self {
            waiting,
            answers,
            roles,
            instances,
            ..
        } = self;
        waiting.retain(|client| {
            let mut known = roles.iter().chain(instances.values());
            let answer = match known.find(|instance| instance.spec.id == client.id) {
                Some(instance) => client.answer(instance, stopping),
                None => Some(Refusal::NoInstance(client.id.clone()).into()),
            };
            let waits = answer.is_none();
            answers.extend(answer.map(|answer| (client.reply.clone(), answer)));
            waits
        });
    }
}

impl Waiting {
    fn answer(&self, instance: &Instance, stopping: bool) -> Option<Answer> {
        let done = || Some(Answer::Reply(Reply::Done));
        let failed = || Refusal::Spawn {
            name: self.id.to_string(),
            reason: instance.reason().to_owned(),
        };
        match (&self.wants, instance.machine.phase()) {
            (Wants::Ended, Phase::Stopped | Phase::Failed) => done(),
            (Wants::Started(before), _) if instance.start() > *before => done(),
            // A role whose program cannot be started is tried again for ever; whoever asked is told the first time.
            (Wants::Started(_), Phase::Failed | Phase::BackingOff | Phase::CrashLoop) => Some(failed().into()),
            (Wants::Started(_), Phase::Stopped) if stopping => Some(Refusal::Stopping.into()),
            (Wants::Started(_), Phase::Stopped) => Some(failed().into()),
            _ => None,
        }
    }
}
