//! Subscriptions over a real SQLite store, with a subscriber that behaves as badly as it is told.

mod delivery;
mod letters;
mod pace;
mod pulling;
mod system;
