//! Why a service does not start. Printed once, with its causes, by [`crate::main`].

/// A failure before the first request.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable that Ondol gives each instance is not there.
    #[error("the variable {0} is not set; `ondol up` sets it, and by hand: {0}=…")]
    MissingVariable(&'static str),
    /// It is there and makes no sense.
    #[error("the variable {name} is {value:?}: {expected}")]
    BadVariable {
        /// Which.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it should.
        expected: &'static str,
    },
    /// No socket.
    #[error("could not listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The runtime or a signal handler could not be made.
    #[error("could not set up {what}")]
    Setup {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        source: std::io::Error,
    },
    /// The database could not be opened or brought to this version's tables.
    #[error("could not {what} the database {url}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// Which, without user and password.
        url: String,
        /// The driver's word.
        source: sqlx::Error,
    },
    /// Whatever a service itself could not prepare.
    #[error("{what}")]
    Service {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
