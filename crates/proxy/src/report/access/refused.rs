//! Heads that are no requests, in the access log: what is wrong with one and whose it was, in words of ours alone. Nothing that its sender
//! wrote stands there.
//!
//! Whoever sends such heads may send very many: of each second [`MOST_A_SECOND`] are written, for all workers together, and the next line says
//! how many were left out before it.

use crate::check::HeadError;
use ondol_core::clock::Timestamp;
use std::net::IpAddr;
use std::time::Duration;

/// Lines a second.
pub(super) const MOST_A_SECOND: u32 = 10;

/// One of them.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// 128 random bits, by which the line is found.
    pub trace: u128,
    /// Who sent it; `None` over a Unix socket.
    pub client: Option<IpAddr>,
    /// By which version of TLS; `None`: in the clear.
    pub tls: Option<&'static str>,
    /// What is wrong.
    pub error: HeadError,
    /// Lines like it that were left out since the one before.
    pub left_out: u64,
}

/// How many lines a second has had.
#[derive(Debug, Default)]
pub(super) struct Pace {
    second: u64,
    lines: u32,
    left_out: u64,
}

impl Pace {
    /// Whether one more may be written, and how many were left out before it.
    pub(super) fn admit(&mut self, now: Duration) -> Option<u64> {
        if self.second != now.as_secs() {
            (self.second, self.lines) = (now.as_secs(), 0);
        }
        if self.lines >= MOST_A_SECOND {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_second_has_more_lines_and_every_line_left_out_is_told(steps in proptest::collection::vec(0..400_u64, 1..400)) {
            let (mut pace, mut now) = (Pace::default(), 0);
            let (mut by_second, mut told) = (std::collections::BTreeMap::<u64, u32>::new(), 0);
            for step in &steps {
                now += step;
                if let Some(left_out) = pace.admit(Duration::from_millis(now)) {
                    *by_second.entry(now / 1_000).or_default() += 1;
                    told += left_out;
                }
            }
            let lines: u32 = by_second.values().sum();
            proptest::prop_assert!(by_second.values().all(|lines| *lines <= MOST_A_SECOND));
            proptest::prop_assert_eq!(u64::from(lines) + told + pace.left_out, steps.len() as u64);
        }
    }
}
