//! Heads that are no requests, in the access log: what is wrong with one and whose it was, in words of ours alone. Nothing that its sender
//! wrote stands there.
//!
//! Whoever sends such heads may send very many: of each second [`MOST_A_SECOND`] are written, for all workers together, of these
//! [`MOST_OF_ONE`] of one client, and the next line says how many were left out before it. Memory: whose the lines of one second are.

use crate::check::HeadError;
use crate::filter::limit::network;
use crate::report::Line;
use ondol_core::clock::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Lines a second.
pub(super) const MOST_A_SECOND: usize = 10;
/// Of these, of one client's address (of one /64 for IPv6), and of all without one together.
pub(super) const MOST_OF_ONE: usize = 3;

/// One of them.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// 128 random bits, by which the line is found.
    pub trace: u128,
    /// What it is counted under: the edge by which it came, or the gateway. `None`: nothing is served yet.
    pub line: Option<Arc<Line>>,
    /// Who sent it; `None` over a Unix socket.
    pub client: Option<IpAddr>,
    /// By which version of TLS; `None`: in the clear.
    pub tls: Option<&'static str>,
    /// What is wrong.
    pub error: HeadError,
    /// Lines like it that were left out since the one before.
    pub left_out: u64,
}

/// Which lines a second has had.
#[derive(Debug, Default)]
pub(super) struct Pace {
    second: u64,
    /// Whose they were; no more than [`MOST_A_SECOND`].
    lines: Vec<Option<u128>>,
    left_out: u64,
}

impl Pace {
    /// Whether one more of this client may be written, and how many were left out before it.
    pub(super) fn admit(&mut self, now: Duration, client: Option<IpAddr>) -> Option<u64> {
        if self.second != now.as_secs() {
            self.second = now.as_secs();
            self.lines.clear();
        }
        let client = client.map(network);
        let of_it = self.lines.iter().filter(|other| **other == client).count();
        if self.lines.len() >= MOST_A_SECOND || of_it >= MOST_OF_ONE {
            self.left_out += 1;
            return None;
        }
        self.lines.push(client);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    proptest::proptest! {
        #[test]
        fn no_second_has_more_lines_and_every_line_left_out_is_told(
            steps in proptest::collection::vec((0..400_u64, 0..6_u8), 1..400),
        ) {
            let (mut pace, mut now) = (Pace::default(), 0);
            let (mut by_second, mut told) = (BTreeMap::<u64, Vec<u8>>::new(), 0);
            for (step, client) in &steps {
                now += step;
                let address = (*client > 0).then(|| IpAddr::from([192, 0, 2, *client]));
                let admitted = pace.admit(Duration::from_millis(now), address);
                let lines = by_second.entry(now / 1_000).or_default();
                let of_it = lines.iter().filter(|other| *other == client).count();
                proptest::prop_assert_eq!(admitted.is_some(), lines.len() < MOST_A_SECOND && of_it < MOST_OF_ONE);
                if let Some(left_out) = admitted {
                    lines.push(*client);
                    told += left_out;
                }
            }
            let lines: usize = by_second.values().map(Vec::len).sum();
            proptest::prop_assert_eq!(lines as u64 + told + pace.left_out, steps.len() as u64);
        }
    }
}
