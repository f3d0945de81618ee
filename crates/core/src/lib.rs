//! The vocabulary of Ondol and the ports its rooms share.
//!
//! Every other room imports this one and this one imports none. It is the only place that reads the clock, draws
//! random numbers and spawns tasks or threads, so that a whole system can run under one seed (`ondol-testkit`).
//!
//! - words: [`id`], [`unit`], [`error`], [`probe`], [`http_date`], [`path`], [`x509`]
//! - the outside world: [`clock`], [`entropy`], [`task`] (feature `tokio`), [`thread`], [`fault`], [`unix`]
//! - ports: [`engine`] (the durable store), [`caller`] (calls of services through the proxy)
//! - the two protocols between roles: [`wire`]

pub mod caller;
pub mod clock;
pub mod engine;
pub mod entropy;
pub mod error;
pub mod fault;
pub mod http_date;
pub mod id;
pub mod path;
pub mod probe;
pub mod spiffe;
#[cfg(feature = "tokio")]
pub mod task;
pub mod thread;
pub mod unit;
pub mod unix;
pub mod whole;
pub mod wire;
pub mod x509;

/// A future that a port returns: boxed, sendable, without a borrow.
pub type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
