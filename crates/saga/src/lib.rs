//! Durable sagas: definition, machine, executor, recovery.

pub mod config;
pub mod template;
