//! One issuer: its keys, when to fetch them, and the tokens that they have verified.
//!
//! Invariants
//! - A remembered token is good only for the keys that verified it and only until it expires.
//! - At most 16,384 tokens are remembered, by their SHA-256; those not used for longest are forgotten.

use super::identity::Identity;
use super::keys::{KeySet, Schedule};
use super::token::{self, BadToken, Parts};
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::Algorithm;
use ondol_core::clock::Timestamp;
use ondol_core::wire::proxy as wire;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Parts of an issuer's memory of tokens.
const SHARDS: usize = 8;
/// Tokens in each of the two halves of a part.
const PER_HALF: usize = 1_024;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Token = [u8; 32];

/// A token that was verified.
#[derive(Clone, Debug)]
struct Verified {
    identity: Arc<Identity>,
    ends: Timestamp,
    /// Of the keys that verified it.
    generation: u64,
}

/// Verified tokens; when the young half is full it becomes the old one, and what was old is forgotten.
#[derive(Debug, Default)]
struct Memory {
    young: HashMap<Token, Verified>,
    old: HashMap<Token, Verified>,
}

impl Memory {
    fn get(&mut self, token: &Token) -> Option<Verified> {
        if let Some(known) = self.young.get(token) {
            return Some(known.clone());
        }
        let known = self.old.remove(token)?;
        self.put(*token, known.clone());
        Some(known)
    }

    fn put(&mut self, token: Token, verified: Verified) {
        if self.young.len() >= PER_HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, verified);
    }
}

/// One issuer with its keys and its verified tokens.
#[derive(Debug)]
pub(super) struct Issuer {
    pub name: String,
    pub spec: wire::Issuer,
    algorithms: Vec<Algorithm>,
    pub keys: ArcSwap<KeySet>,
    pub schedule: Mutex<Schedule>,
    /// Fetches that have ended.
    pub fetched: watch::Sender<u64>,
    memory: [Mutex<Memory>; SHARDS],
}

/// Why a token is not accepted now.
pub(super) enum Refusal {
    Bad(BadToken),
    /// No keys, or not the one that the token names.
    NoKey(Option<String>),
}

impl Issuer {
    pub fn new(name: &str, spec: &wire::Issuer, kept: Option<KeySet>) -> Self {
        let algorithms = spec
            .algorithms
            .iter()
            .filter_map(|name| token::algorithm(name))
            .collect();
        Self {
            name: name.to_owned(),
            spec: spec.clone(),
            algorithms,
            keys: ArcSwap::from_pointee(kept.unwrap_or_default()),
            schedule: Mutex::default(),
            fetched: watch::Sender::new(0),
            memory: Default::default(),
        }
    }

    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Arc<Identity>, Refusal> {
        if text.len() > token::LONGEST {
            return Err(Refusal::Bad(BadToken::TooLong));
        }
        let keys = self.keys.load();
        if !keys.holds(now) {
            return Err(Refusal::NoKey(None));
        }
        let mut token = Token::default();
        token.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        let memory = &self.memory[usize::from(token[0]) % SHARDS];
        let known = lock(memory)
            .get(&token)
            .filter(|known| known.generation == keys.generation);
        if let Some(known) = known {
            return if known.ends > now {
                Ok(known.identity)
            } else {
                Err(Refusal::Bad(BadToken::Expired))
            };
        }
        let (identity, ends) = self.verify_anew(text, &keys, now)?;
        let identity = Arc::new(identity);
        lock(memory).put(
            token,
            Verified {
                identity: identity.clone(),
                ends,
                generation: keys.generation,
            },
        );
        Ok(identity)
    }

    fn verify_anew(&self, text: &str, keys: &KeySet, now: Timestamp) -> Result<(Identity, Timestamp), Refusal> {
        let parts = Parts::new(text).map_err(Refusal::Bad)?;
        if !self.algorithms.contains(&parts.algorithm) {
            return Err(Refusal::Bad(BadToken::Algorithm));
        }
        let Some(key) = keys.find(parts.kid.as_deref(), parts.algorithm) else {
            return Err(parts
                .kid
                .map_or(Refusal::Bad(BadToken::UnknownKey), |kid| Refusal::NoKey(Some(kid))));
        };
        parts.verify(&key.key).map_err(Refusal::Bad)?;
        parts.claims(&self.spec, now).map_err(Refusal::Bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_tokens_is_bounded_and_keeps_what_is_used() {
        let mut memory = Memory::default();
        let identity = Identity {
            subject: "u".into(),
            scope: String::new(),
            roles: String::new(),
            issuer: "i".into(),
        };
        let verified = Verified {
            identity: Arc::new(identity),
            ends: Timestamp(1),
            generation: 1,
        };
        let token = |n: usize| {
            let mut token = Token::default();
            token[..8].copy_from_slice(&n.to_le_bytes());
            token
        };
        for n in 0..10 * PER_HALF {
            memory.put(token(n), verified.clone());
            assert!(memory.get(&token(0)).is_some(), "used all the time");
            assert!(memory.young.len() <= PER_HALF && memory.old.len() <= PER_HALF);
        }
        assert!(memory.get(&token(1)).is_none(), "never used again");
    }
}
