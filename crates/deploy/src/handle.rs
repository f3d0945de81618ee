//! What others may ask of the loop in `service.rs`.

use crate::config::SystemPlan;
use crate::configuration::{NotTaken, Order, Taken};
use crate::service::Wake;
use crate::status::SystemStatus;
use ondol_core::error::ErrorCode;
use ondol_core::id::ServiceName;
use std::sync::{Arc, mpsc};
use tokio::sync::{oneshot, watch};

/// Why a command was refused.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Refused {
    /// No such service.
    #[error("there is no service {0}")]
    Unknown(ServiceName),
    /// It cannot run here.
    #[error("service {service} is skipped: {why}")]
    Skipped {
        /// Which.
        service: ServiceName,
        /// What to install.
        why: String,
    },
    /// Outside the manifest's bounds.
    #[error("service {service} may have {} by its manifest, not {asked}; `scale:` in its service.yaml says how many", span(*min, *max))]
    Scale {
        /// Which.
        service: ServiceName,
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
        /// What was asked.
        asked: u32,
    },
    /// The setting could not be stored.
    #[error("the setting could not be stored: {0}")]
    Store(String),
    /// The loop has ended.
    #[error("the controller is stopping")]
    Stopping,
    /// A build goes on; its programs are of the configuration that runs.
    #[error("a build goes on; another configuration is taken once it has ended")]
    Building,
    /// Another configuration could not be taken.
    #[error(transparent)]
    Configuration(#[from] NotTaken),
    /// Too much waits for the loop.
    #[error("the controller has too much to do; nothing was changed")]
    Busy,
}

fn span(min: u32, max: u32) -> String {
    match (min, max) {
        (1, 1) => "1 instance".into(),
        (min, max) if min == max => format!("{min} instances"),
        (min, max) => format!("{min} to {max} instances"),
    }
}

impl Refused {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown(_) => ErrorCode::new("DP-010"),
            Self::Skipped { .. } => ErrorCode::new("DP-011"),
            Self::Scale { .. } => ErrorCode::new("DP-012"),
            Self::Store(_) => ErrorCode::new("DP-013"),
            Self::Stopping => ErrorCode::new("DP-014"),
            Self::Busy => ErrorCode::new("DP-015"),
            Self::Configuration(error) => error.code(),
            Self::Building => ErrorCode::new("DP-019"),
        }
    }
}

/// A command with the way back.
pub(crate) enum Command {
    Restart(ServiceName, oneshot::Sender<Result<(), Refused>>),
    Scale(ServiceName, u32, oneshot::Sender<Result<(), Refused>>),
}

/// The handle; cheap to clone.
#[derive(Clone)]
pub struct Deploy {
    pub(crate) commands: mpsc::SyncSender<Wake>,
    pub(crate) status: watch::Receiver<Arc<SystemStatus>>,
    pub(crate) plan: watch::Receiver<Arc<SystemPlan>>,
}

impl Deploy {
    /// The status now.
    pub fn status(&self) -> Arc<SystemStatus> {
        self.status.borrow().clone()
    }

    /// What is declared now.
    pub fn plan(&self) -> Arc<SystemPlan> {
        self.plan.borrow().clone()
    }

    /// The status and every change of it.
    pub fn watch_status(&self) -> watch::Receiver<Arc<SystemStatus>> {
        self.status.clone()
    }

    /// What is declared and every change of it.
    pub fn watch_plan(&self) -> watch::Receiver<Arc<SystemPlan>> {
        self.plan.clone()
    }

    /// Replaces every instance of a service by a new one, without a failed request where `overlap` allows. Returns when
    /// it is durable that it will happen.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn restart(&self, service: ServiceName) -> Result<(), Refused> {
        self.ask(|back| Wake::Command(Command::Restart(service, back))).await
    }

    /// Sets how many instances a service has, within its manifest's bounds; stored.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn scale(&self, service: ServiceName, count: u32) -> Result<(), Refused> {
        self.ask(|back| Wake::Command(Command::Scale(service, count, back)))
            .await
    }

    /// Takes another configuration. Returns when it is durable that it runs from now on.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then. [`Refused::Building`] passes with the build.
    pub async fn configure(&self, order: Order) -> Result<Taken, Refused> {
        self.ask(|back| Wake::Configure(order, back)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Wake) -> Result<T, Refused> {
        let (back, answer) = oneshot::channel();
        self.commands.try_send(command(back)).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => Refused::Busy,
            mpsc::TrySendError::Disconnected(_) => Refused::Stopping,
        })?;
        answer.await.map_err(|_| Refused::Stopping)?
    }
}
