//! The first accounts: a customer and an administrator with random passwords, so that a fresh shop can be used at once.
//!
//! The passwords are in `first-accounts.json` (email → password, mode 0600) in the data folder and nowhere else; the
//! database has hashes, the log has nothing. The file is written *before* the accounts are: after a crash between the two
//! the next start finds the file and makes the accounts with its passwords.
//!
//! Tests: `tests/http.rs`.

use crate::password::{PasswordError, Passwords, fill};
use crate::secret_file;
use crate::store::{Account, Store, add};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shop_kit::Problem;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use uuid::Uuid;

/// Name of the file in the data folder.
pub const FILE: &str = "first-accounts.json";

/// Email, name, roles.
const FIRST: [(&str, &str, &[&str]); 2] = [
    ("alice@shop.example", "Alice", &[]),
    ("admin@shop.example", "Admin", &["admin"]),
];

/// Why they could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    /// The file.
    #[error("{FILE}")]
    File(#[from] io::Error),
    /// The file's content.
    #[error("{FILE} is not an object of emails and passwords")]
    Content(#[from] serde_json::Error),
    /// An account is missing in the database and in the file.
    #[error("{FILE} has no password for {0}; remove the file, and a new one is written")]
    NoPassword(&'static str),
    /// The hash.
    #[error("a password could not be hashed")]
    Password(#[from] PasswordError),
    /// The database.
    #[error("the database")]
    Database(#[from] sqlx::Error),
    /// No write could be begun.
    #[error("the database takes no write: {}", .0.reason())]
    Write(Problem),
}

/// Makes those that are missing. A few hashes the first time, two queries later.
///
/// # Errors
/// [`FirstError`]; nothing is half made.
pub async fn make(store: &Store, passwords: &Passwords, folder: &Path) -> Result<(), FirstError> {
    let mut missing = Vec::new();
    for first in FIRST {
        if store.by_email(first.0).await?.is_none() {
            missing.push(first);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let written = written(folder, missing.iter().map(|first| first.0))?;
    let mut accounts = Vec::new();
    for (email, name, roles) in missing {
        let password = written.get(email).ok_or(FirstError::NoPassword(email))?;
        accounts.push(Account {
            id: Uuid::now_v7().to_string(),
            email: email.to_owned(),
            name: name.to_owned(),
            password: passwords.hash(password.clone()).await?,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        });
    }
    let mut tx = store.database.write().await.map_err(FirstError::Write)?;
    for account in &accounts {
        // False where another instance started at the same time and was faster; it read the same file.
        add(&mut tx, account, jiff::Timestamp::now().as_second()).await?;
    }
    tx.commit().await?;
    tracing::info!(
        file = FILE,
        "made the first accounts; their passwords are in the data folder"
    );
    Ok(())
}

/// The file's content; written now, with a password for each of `emails`, when there is no file.
fn written<'a>(folder: &Path, emails: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, String>, FirstError> {
    let bytes = secret_file::keep(&folder.join(FILE), || {
        let mut all = BTreeMap::new();
        for email in emails {
            let mut random = [0u8; 18];
            fill(&mut random).map_err(io::Error::other)?;
            all.insert(email, URL_SAFE_NO_PAD.encode(random));
        }
        Ok(serde_json::to_vec_pretty(&all)?)
    })?;
    Ok(serde_json::from_slice(&bytes)?)
}
