//! Random numbers. Everything that draws one takes an [`Entropy`], so that a seed replays a run.

use std::sync::{Arc, Mutex, PoisonError};

/// A source of random bits.
pub trait Entropy: Send + Sync + 'static {
    /// 64 random bits.
    fn next_u64(&self) -> u64;

    /// A number in `0..bound`; 0 when `bound` is 0. The bias is below 2^-32 for bounds under 2^32.
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
        }
    }

    /// A span between zero and `cap`: full jitter.
    fn jitter(&self, cap: std::time::Duration) -> std::time::Duration {
        std::time::Duration::from_micros(self.below(u64::try_from(cap.as_micros()).unwrap_or(u64::MAX)))
    }

    /// 16 random bytes.
    fn bytes16(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.next_u64().to_le_bytes());
        out[8..].copy_from_slice(&self.next_u64().to_le_bytes());
        out
    }
}

/// A source that can be handed round.
pub type SharedEntropy = Arc<dyn Entropy>;

/// The operating system's generator, fit for secrets. One system call per draw.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    /// When the kernel gives no randomness, which on Linux happens only before the boot has seeded it.
    #[allow(clippy::disallowed_methods, reason = "the one place that draws random numbers")]
    fn next_u64(&self) -> u64 {
        getrandom::u64().unwrap_or_else(|error| panic!("the kernel gives no randomness: {error}"))
    }
}

/// A seeded generator (xoshiro256**): fast, repeatable, not for secrets.
///
/// Source: Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2018.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<[u64; 4]>);

impl SeededEntropy {
    /// A generator that always gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        let mut z = seed;
        Self(Mutex::new(std::array::from_fn(|_| {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let a = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            b ^ (b >> 31)
        })))
    }

    /// A fast generator seeded by the operating system, for jitter and balancing.
    pub fn from_system() -> Self {
        Self::new(SystemEntropy.next_u64())
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        let mut s = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let out = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (a, b) = (SeededEntropy::new(7), SeededEntropy::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
    }

    #[test]
    fn below_stays_below() {
        let e = SeededEntropy::new(1);
        assert!((1..500).all(|bound| e.below(bound) < bound));
        assert_eq!(e.below(0), 0);
    }
}
