//! Passwords: hashed by Argon2id, away from the threads that serve requests, a few at a time.
//!
//! One hash takes 19 MiB and some tens of milliseconds on purpose. So it runs on blocking threads, at most
//! [`Passwords::new`]'s number at once (memory and processors stay bounded however many people sign in), and when
//! [`MOST_WAITING`] wait already the next is told to come back.
//!
//! Invariant: checking an email that has no account costs what checking one that has costs, so that the time of an answer
//! does not say which emails exist.
//!
//! Tests: below.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Callers that may wait for their turn. At 50 ms each on two cores the last waits under two seconds.
const MOST_WAITING: usize = 64;
/// Memory of one hash: 19 MiB with two passes, OWASP's password storage recommendation for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes and checks passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    at_once: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// The hash of a password that nobody has.
    nobodys: Arc<str>,
}

/// A password could not be hashed or checked now.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many are waiting.
    #[error("too many passwords are being checked")]
    Busy,
    /// The stored hash cannot be read, or the machine gives no memory or no randomness.
    #[error("could not hash a password: {0}")]
    Broken(String),
}

impl Passwords {
    /// Hashes at most `at_once` passwords at a time (at least one). Costs one hash.
    ///
    /// # Errors
    /// [`PasswordError::Broken`].
    pub async fn new(at_once: usize) -> Result<Self, PasswordError> {
        let mut random = [0u8; 32];
        fill(&mut random)?;
        let nobodys = blocking(move || hash_now(&random)).await?;
        Ok(Self {
            at_once: Arc::new(Semaphore::new(at_once.max(1))),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            nobodys: nobodys.into(),
        })
    }

    /// A salted hash of `password` in the PHC string form.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.turn(move || hash_now(password.as_bytes())).await
    }

    /// Whether `password` is the one of `hash`; `None`: there is no such account, which costs the same and is always no.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn check(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobodys.to_string());
        let same = self.turn(move || check_now(&password, &hash)).await?;
        Ok(same && known)
    }

    /// Waits for a turn, then works on a blocking thread.
    ///
    /// # Cancellation
    /// Dropped while waiting it gives its place back; dropped later the work runs to its end, and holds its turn so long.
    async fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.waiting)
            .try_acquire_owned()
            .map_err(|_| PasswordError::Busy)?;
        let turn = Arc::clone(&self.at_once)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Busy)?;
        drop(place);
        blocking(move || {
            let _turn = turn;
            work()
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
) -> Result<T, PasswordError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|failed| PasswordError::Broken(failed.to_string()))?
}

/// Fills `bytes` from the system's source of randomness.
///
/// # Errors
/// [`PasswordError::Broken`] when the system has none.
pub fn fill(bytes: &mut [u8]) -> Result<(), PasswordError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| PasswordError::Broken("the system gives no random bytes".to_owned()))
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(broken)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(password: &[u8]) -> Result<String, PasswordError> {
    let mut salt = [0u8; 16];
    fill(&mut salt)?;
    Ok(argon2()?
        .hash_password_with_salt(password, &salt)
        .map_err(broken)?
        .to_string())
}

fn check_now(password: &str, hash: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(hash).map_err(broken)?;
    match argon2()?.verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(other) => Err(broken(other)),
    }
}

fn broken(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_fits_and_no_other() {
        let passwords = Passwords::new(2).await.unwrap();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(
            passwords
                .check("correct horse".to_owned(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(!passwords.check("correct horsf".to_owned(), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn the_same_password_has_another_hash_each_time() {
        let passwords = Passwords::new(2).await.unwrap();
        let hashes = [
            passwords.hash("same".to_owned()).await.unwrap(),
            passwords.hash("same".to_owned()).await.unwrap(),
        ];
        assert_ne!(hashes[0], hashes[1]);
        assert!(
            hashes[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hashes[0]
        );
    }

    #[tokio::test]
    async fn without_an_account_no_password_fits_and_the_work_is_done_all_the_same() {
        let passwords = Passwords::new(1).await.unwrap();
        assert!(!passwords.check("anything".to_owned(), None).await.unwrap());
        let cost = |hash: &str| hash.rsplitn(3, '$').last().map(str::to_owned);
        let real = passwords.hash("anything".to_owned()).await.unwrap();
        assert_eq!(cost(&passwords.nobodys), cost(&real), "as dear as a real one");
    }

    #[tokio::test]
    async fn when_too_many_wait_the_next_is_told_to_come_back() {
        let passwords = Passwords::new(1).await.unwrap();
        let _turn = Arc::clone(&passwords.at_once).acquire_owned().await.unwrap();
        let _places = Arc::clone(&passwords.waiting)
            .acquire_many_owned(MOST_WAITING as u32)
            .await
            .unwrap();
        assert!(matches!(passwords.hash("x".to_owned()).await, Err(PasswordError::Busy)));
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_read_is_an_error_and_not_a_no() {
        let passwords = Passwords::new(1).await.unwrap();
        let answer = passwords.check("x".to_owned(), Some("plain".to_owned())).await;
        assert!(matches!(answer, Err(PasswordError::Broken(_))));
    }
}
