//! The kit's claims: the database on SQLite and PostgreSQL, a client's keys, and what every service answers alike.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod database;
mod http;
mod keys;

use shop_kit::Database;

/// A SQLite database in a folder that lives as long as the first value.
async fn sqlite(migrations: &[&'static str]) -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&file(&folder), migrations).await.unwrap();
    (folder, database)
}

fn file(folder: &tempfile::TempDir) -> String {
    format!("sqlite://{}/kit.db", folder.path().display())
}
