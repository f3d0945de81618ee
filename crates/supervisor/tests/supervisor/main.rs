//! The supervisor with real processes, asked through its client.

mod bed;
mod handover;
mod jobs;
mod logs;
mod predecessor;
mod readiness;
mod restarts;
mod roles;
mod shutdown;
mod sockets;
mod trees;
