//! The five files as types: every key, its meaning, its default. The schema, the reference page and the readers come from
//! these lists.

pub mod events;
pub mod examples;
pub mod policy;
pub mod reconcile;
pub mod route;
pub mod saga;
pub mod service;
pub mod system;
pub mod traffic;
