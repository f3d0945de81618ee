//! A role's process gives way to another program's: the new one serves first, then the old one ends at its own pace.
//!
//! Both accept on the same sockets meanwhile, which are the supervisor's. Until the new one has said that it serves,
//! nothing is lost by its failure: the old one was told nothing.
//!
//! Not here: what ending at its own pace means (the role), when a process counts as one that retires (`machine.rs`).

use crate::error::Refusal;
use crate::instance::Instance;
use crate::machine::Event;
use crate::mail::Answer;
use crate::service::Service;
use ondol_core::id::{InstanceId, ServiceName};
use ondol_core::wire::supervision::{HandOver, Phase, Reply};
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// One that has begun and not come to its turn yet.
pub(crate) struct Handover {
    from: InstanceId,
    to: InstanceId,
    drain: Duration,
    /// When the new one is given up.
    pub(crate) deadline: Duration,
    client: SyncSender<Answer>,
}

/// How it stands.
enum Turn {
    NotYet,
    Come,
    Failed(String),
}

impl Service {
    /// Starts the program beside the role's process; the client is answered when it serves or has failed.
    ///
    /// # Errors
    /// When there is no such role, it is being handed over already, or the program is no path.
    pub(crate) fn hand_over(
        &mut self,
        role: &ServiceName,
        program: &Path,
        how: HandOver,
        client: &SyncSender<Answer>,
    ) -> Result<(), Refusal> {
        if self.handovers.iter().any(|handover| handover.from.service == *role) {
            let why = "it is handed over already; wait for that".into();
            return Err(Refusal::Invalid {
                name: role.to_string(),
                why,
            });
        }
        let at = self.current(role)?;
        let mut spec = self.roles[at].spec.clone();
        let from = spec.id.clone();
        spec.id.number = self.free_number(role);
        set_program(&mut spec, program)?;
        let mut heir = Instance::role(spec, self.roles[at].announces(), self.tools.clock.wall());
        heir.handle(Event::Start, &mut self.tools);
        self.handovers.push(Handover {
            from,
            to: heir.spec.id.clone(),
            drain: Duration::from_millis(how.drain_ms),
            deadline: self.tools.clock.mono() + Duration::from_millis(how.serve_within_ms),
            client: client.clone(),
        });
        self.roles.insert(at + 1, heir);
        Ok(())
    }

    /// Ends the role's process and starts the program in its place; the start that the next one comes after.
    ///
    /// # Errors
    /// As [`Service::hand_over`].
    pub(crate) fn exchange(&mut self, role: &ServiceName, program: &Path) -> Result<(InstanceId, u64), Refusal> {
        let at = self.current(role)?;
        let instance = &mut self.roles[at];
        set_program(&mut instance.spec, program)?;
        let start = instance.start();
        instance.handle(Event::Restart, &mut self.tools);
        Ok((self.roles[at].spec.id.clone(), start))
    }

    /// Looks at what is being handed over, and forgets roles that have ended as told.
    pub(crate) fn look_at_handovers(&mut self) {
        let now = self.tools.clock.mono();
        for handover in std::mem::take(&mut self.handovers) {
            let answer = match self.turn(&handover, now) {
                Turn::NotYet => {
                    self.handovers.push(handover);
                    continue;
                }
                Turn::Come => {
                    self.tell_role(&handover.from, Event::Retire(handover.drain));
                    Answer::Reply(Reply::Done)
                }
                Turn::Failed(reason) => {
                    self.tell_role(&handover.to, Event::Stop);
                    let name = handover.to.to_string();
                    Refusal::Spawn { name, reason }.into()
                }
            };
            self.answers.push((handover.client, answer));
        }
        if !self.stopping {
            self.roles.retain(|role| role.machine.phase() != Phase::Stopped);
        }
    }

    fn turn(&self, handover: &Handover, now: Duration) -> Turn {
        let Some(heir) = self.roles.iter().find(|role| role.spec.id == handover.to) else {
            return Turn::Failed("it is gone".into());
        };
        match heir.machine.phase() {
            Phase::Ready => Turn::Come,
            Phase::Starting if now < handover.deadline => Turn::NotYet,
            Phase::Starting => Turn::Failed("it runs and did not come to serve in time".into()),
            _ => Turn::Failed(heir.reason().to_owned()),
        }
    }

    fn tell_role(&mut self, id: &InstanceId, event: Event) {
        let Self { roles, tools, .. } = self;
        if let Some(role) = roles.iter_mut().find(|role| role.spec.id == *id) {
            role.handle(event, tools);
        }
    }

    /// The role's process that is meant to last.
    fn current(&self, role: &ServiceName) -> Result<usize, Refusal> {
        let of_role = |instance: &Instance| instance.spec.id.service == *role;
        let lasts = |instance: &Instance| !instance.machine.is_told_to_end();
        let at = self
            .roles
            .iter()
            .position(|instance| of_role(instance) && lasts(instance));
        at.ok_or_else(|| Refusal::Invalid {
            name: role.to_string(),
            why: "there is no such role".into(),
        })
    }

    fn free_number(&self, role: &ServiceName) -> u32 {
        let used = |number| {
            let mut roles = self.roles.iter();
            roles.any(|instance| instance.spec.id.service == *role && instance.spec.id.number == number)
        };
        (1..).find(|number| !used(*number)).unwrap_or(u32::MAX)
    }
}

fn set_program(spec: &mut ondol_core::wire::supervision::InstanceSpec, program: &Path) -> Result<(), Refusal> {
    let text = program
        .to_str()
        .filter(|text| program.is_absolute() && !text.contains('\0'));
    let Some(text) = text else {
        return Err(Refusal::Invalid {
            name: program.display().to_string(),
            why: "a role's program is an absolute path in UTF-8".into(),
        });
    };
    text.clone_into(&mut spec.argv[0]);
    text.clone_into(&mut spec.release);
    Ok(())
}
