//! The whole program: the real `ondol` on systems of its own in temporary folders, with real services, over real sockets.
//!
//! - `system.rs`: a system and its processes; `http.rs`: both ends of HTTP/1.1; `load.rs`: clients that count failures
//! - `stores.rs`: tests that run with Ondol's store in SQLite and in PostgreSQL
//! - `service.rs`: the services: this test program again, started by Ondol as an ignored test
//! - every other file: one part of what Ondol promises, each test a sentence of it
//!
//! Tests wait for states, never for a time. What a machine cannot show (no root, no `setpriv`, no `promtool`) is skipped with
//! a line that says so.

mod access;
mod apply;
mod bad_events;
mod cli;
mod disk;
mod events;
mod gateway;
mod http;
mod identity;
mod kills;
mod life;
mod listeners;
mod live;
mod load;
mod logs;
mod mesh;
mod outbox;
mod ports;
mod reconcile;
mod sagas;
mod service;
mod stores;
mod streams;
mod subscriptions;
mod system;
mod tls;
mod upgrade;
mod user;
mod watch;
