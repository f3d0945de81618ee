//! What the loop has done by the supervisor: sockets bound, instances started and stopped; and what was refused.

use crate::config::SystemPlan;
use crate::configuration::NotTaken;
use crate::instance::{self, Surroundings};
use crate::program::Program;
use crate::service::Wake;
use crate::sockets::sockets;
use crate::token::TokenKey;
use ondol_core::id::{InstanceId, ServiceName};
use ondol_core::task::Tasks;
use ondol_core::wire::supervision::Facts;
use ondol_core::wire::supervision_client::{self, SupervisorClient};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// After an instance could not be started or stopped, or the sockets not be bound or closed.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Supervised {
    client: SupervisorClient,
    wakes: SyncSender<Wake>,
    /// `.ondol`.
    state: PathBuf,
    tokens: TokenKey,
    around: Option<Surroundings>,
    /// More may be bound than this plan has: for an earlier one, also one of a controller before this, or for one that was not taken.
    outdated: bool,
    /// That could not be closed: not before.
    close_from: Duration,
    /// The sockets could not be bound: not before, and why.
    unbound: Option<(Duration, String)>,
    /// Starts that were refused: not before, and why.
    refused: BTreeMap<InstanceId, (Duration, String)>,
}

impl Supervised {
    pub(crate) fn new(client: SupervisorClient, wakes: SyncSender<Wake>, state: PathBuf, tokens: TokenKey) -> Self {
        Self {
            client,
            wakes,
            state,
            tokens,
            around: None,
            outdated: false,
            close_from: Duration::ZERO,
            unbound: None,
            refused: BTreeMap::new(),
        }
    }

    /// What is there now.
    pub(crate) fn facts(&self) -> supervision_client::Result<Facts> {
        self.client.facts()
    }

    /// Where the sockets are; `None` until they are bound.
    pub(crate) fn around(&self) -> Option<&Surroundings> {
        self.around.as_ref()
    }

    /// Why they are not.
    pub(crate) fn unbound(&self) -> Option<&str> {
        self.unbound.as_ref().map(|(_, why)| why.as_str())
    }

    /// Binds what another plan needs, beside what is bound, before that plan is taken: one that cannot listen must not hold up what runs.
    ///
    /// # Errors
    /// An address cannot be had; nothing was bound or moved.
    pub(crate) fn admit(&mut self, plan: &SystemPlan) -> Result<(), NotTaken> {
        let bound = self.client.listen(sockets(plan));
        bound.map(drop).map_err(|error| NotTaken::Unbound(error.to_string()))
    }

    /// The plan is not taken after all: what was bound for it is closed, also where nobody could say that it was.
    pub(crate) fn take_back(&mut self) {
        self.outdated = true;
    }

    /// The plan changed: bound again at the next chance; what is bound stays and what is new is added.
    pub(crate) fn rebind(&mut self) {
        (self.around, self.unbound) = (None, None);
        self.refused.clear();
    }

    /// Binds the sockets unless they are bound, or were refused a moment ago; true when they are from now on.
    pub(crate) fn bind(&mut self, plan: &SystemPlan, now: Duration) -> bool {
        let early = self.unbound.as_ref().is_some_and(|(until, _)| now < *until);
        if self.around.is_some() || early {
            return false;
        }
        match self.client.listen(sockets(plan)) {
            Ok(bound) => {
                self.outdated = true;
                self.around = Some(Surroundings {
                    bound: bound.into_iter().collect(),
                    state: self.state.clone(),
                    tokens: self.tokens.clone(),
                    environment: instance::inherited(),
                });
                self.unbound = None;
                true
            }
            Err(error) => {
                self.unbound = Some((now + RETRY, error.to_string()));
                false
            }
        }
    }

    /// Closes what is bound and this plan has not: who calls there is refused instead of waiting for an answer that nobody
    /// gives. Call once no proxy listens there any more: the address may be asked for again at any time, and cannot be had
    /// while a proxy has it alone. What cannot be closed now is tried again.
    pub(crate) fn close_earlier(&mut self, now: Duration) {
        let Some(around) = self.around.as_ref().filter(|_| self.outdated && now >= self.close_from) else {
            return;
        };
        match self.client.retain(around.bound.keys().cloned().collect()) {
            Ok(()) => self.outdated = false,
            Err(error) => {
                tracing::warn!(%error, "sockets of the plan before stay open");
                self.close_from = now + RETRY;
            }
        }
    }

    /// Whether a start of this service was refused a moment ago.
    pub(crate) fn is_held(&self, service: &ServiceName, now: Duration) -> bool {
        let mut refused = self.refused.iter();
        refused.any(|(id, (until, _))| &id.service == service && now < *until)
    }

    /// Why the last start of this service was refused.
    pub(crate) fn refusal(&self, service: &ServiceName) -> Option<&str> {
        let mut refused = self.refused.iter();
        refused.find_map(|(id, (_, why))| (&id.service == service).then_some(why.as_str()))
    }

    /// Starts an instance; a refusal is remembered.
    pub(crate) fn start(
        &mut self,
        id: &InstanceId,
        release: String,
        plan: &SystemPlan,
        program: Option<&Program>,
        now: Duration,
    ) {
        self.refused.remove(id);
        if let Err(why) = self.try_start(id, release, plan, program) {
            tracing::error!(instance = %id, why, "could not start");
            self.refused.insert(id.clone(), (now + RETRY, why));
        }
    }

    fn try_start(
        &self,
        id: &InstanceId,
        release: String,
        plan: &SystemPlan,
        program: Option<&Program>,
    ) -> Result<(), String> {
        let service = plan.services.iter().find(|plan| plan.service == id.service);
        let (Some(service), Some(program), Some(around)) = (service, program, &self.around) else {
            return Err("its plan is gone".into());
        };
        std::fs::create_dir_all(around.data(&id.service)).map_err(|error| format!("its data folder: {error}"))?;
        let ports = self.client.ports(vec![id.clone()]).map_err(|error| error.to_string())?;
        let port = ports.first().map_or(0, |(_, port)| *port);
        let spec = instance::spec(plan, service, id.clone(), port, program, release, around);
        let spec = spec.map_err(|error| error.to_string())?;
        self.client.start(spec).map_err(|error| error.to_string())
    }

    /// Stops an instance, on a thread of its own, since it blocks until the whole tree is gone.
    pub(crate) fn stop(&self, id: InstanceId) {
        let (client, wakes) = (self.client.clone(), self.wakes.clone());
        let stop = move || {
            if let Err(error) = client.stop(&id) {
                tracing::error!(instance = %id, %error, "could not stop");
                std::thread::sleep(RETRY);
                // An error means that the loop has ended.
                let _ = wakes.send(Wake::NotStopped(id));
            }
        };
        if let Err(error) = Tasks::thread("deploy-stop", stop) {
            tracing::error!(%error, "no thread to stop an instance with");
        }
    }
}
