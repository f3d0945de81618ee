//! Frames that ask for no work, or take it back, weighed: pings, settings, priorities, resets, unknown frames, empty data.
//!
//! Each costs this side something and the client next to nothing. `h2` bounds what they hold in memory, not how many there are;
//! so a level rises with each, falls with time and with what is sent (a reader's window updates are fair), and a client
//! that brings it above [`MOST`] is told to calm down. Frames are only counted here: `h2` reads and judges them.
//!
//! Pure: bytes and time are given. The level does not depend on how the bytes are cut.
//!
//! CVE-2023-44487 (rapid reset), CVE-2019-9512, -9515, -9518 (pings, settings, empty data); Envoy bounds the same frames by
//! counts per answered stream, nginx by the share of overhead.

use std::time::Duration;

/// The level at which a client is told to calm down.
pub const MOST: u64 = 2_000;
/// How fast the level falls, per second.
pub const PER_SECOND: u64 = 1_000;
/// The weight of a reset: by it a request has been made in vain.
pub const RESET: u64 = 8;
/// For so many bytes sent the level falls by one. A ping's answer has 17.
const SENT: u64 = 64;

/// HTTP/2's first bytes are no frame.
const PREFACE: usize = crate::listener::PREFACE.len();
const HEAD: usize = 9;

/// The client has sent too much of what asks for no work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flooded;

/// One connection's level.
#[derive(Clone, Debug)]
pub struct Flood {
    /// Bytes to pass over before the next frame's head.
    skip: usize,
    head: [u8; HEAD],
    have: usize,
    /// A head has begun and not ended.
    heading: bool,
    level: u64,
    sent: u64,
    fallen: Duration,
}

impl Flood {
    /// Of a connection of which nothing was read yet.
    pub fn new(now: Duration) -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            have: 0,
            heading: false,
            level: 0,
            sent: 0,
            fallen: now,
        }
    }

    /// Whether a request's head or trailers have begun to come and are not whole.
    pub fn is_heading(&self) -> bool {
        self.heading || (self.skip > 0 && matches!(self.head[3], 1 | 9))
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        self.level = self.level.saturating_sub(self.sent / SENT);
        self.sent %= SENT;
    }

    /// These bytes came.
    ///
    /// # Errors
    /// [`Flooded`] when the level is above [`MOST`].
    pub fn came(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Flooded> {
        self.fall(now);
        loop {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = &bytes[passed..];
            if bytes.is_empty() {
                break;
            }
            let taken = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEAD {
                self.have = 0;
                self.frame();
            }
        }
        if self.level > MOST { Err(Flooded) } else { Ok(()) }
    }

    fn fall(&mut self, now: Duration) {
        let falls = u64::try_from(now.saturating_sub(self.fallen).as_millis()).unwrap_or(u64::MAX) * PER_SECOND / 1_000;
        self.level = self.level.saturating_sub(falls);
        self.fallen += Duration::from_millis(falls * 1_000 / PER_SECOND);
    }

    fn frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        let end_stream = flags & 1 != 0;
        let end_headers = flags & 4 != 0;
        self.level += match kind {
            0 => u64::from(self.skip == 0 && !end_stream),
            1 => 0,
            3 => RESET,
            _ => 1,
        };
        if matches!(kind, 1 | 9) {
            self.heading = !end_headers;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD + payload, 0);
        bytes
    }

    fn begun() -> Flood {
        let mut flood = Flood::new(NOW);
        assert_eq!(flood.came(crate::listener::PREFACE, NOW), Ok(()));
        flood
    }

    /// How many of these frames pass at one moment.
    fn pass(flood: &mut Flood, frame: &[u8], now: Duration) -> u64 {
        (0..100_000).take_while(|_| flood.came(frame, now).is_ok()).count() as u64
    }

    #[test]
    fn what_asks_for_no_work_is_bounded_and_work_is_not() {
        for (kind, flags, payload, weight) in [
            (0, 0, 0, 1),      // DATA without data or an end
            (2, 0, 5, 1),      // PRIORITY
            (3, 0, 4, RESET),  // RST_STREAM
            (4, 0, 0, 1),      // SETTINGS
            (6, 0, 8, 1),      // PING
            (8, 0, 4, 1),      // WINDOW_UPDATE
            (9, 0, 3, 1),      // CONTINUATION
            (0xbe, 0, 300, 1), // unknown
        ] {
            assert_eq!(
                pass(&mut begun(), &frame(kind, flags, payload), NOW),
                MOST / weight,
                "{kind}"
            );
        }
        for (kind, flags, payload) in [(0, 0, 1), (0, 1, 0), (1, 5, 30), (1, 4, 30)] {
            assert_eq!(pass(&mut begun(), &frame(kind, flags, payload), NOW), 100_000, "{kind}");
        }
    }

    #[test]
    fn time_and_what_is_sent_let_it_fall() {
        let (mut flood, ping) = (begun(), frame(6, 0, 8));
        pass(&mut flood, &ping, NOW);
        let later = NOW + Duration::from_millis(500);
        let again = pass(&mut flood, &ping, later);
        assert!(again.abs_diff(PER_SECOND / 2) <= 1, "{again}");
        flood.sent(640 * SENT);
        let again = pass(&mut flood, &ping, later);
        assert!(again.abs_diff(640) <= 1, "{again}");
    }

    #[test]
    fn a_slow_pinger_and_a_fast_reader_are_never_stopped() {
        let (mut pinger, mut reader) = (begun(), begun());
        for n in 0..20_000 {
            let now = NOW + Duration::from_millis(10 * n);
            assert_eq!(pinger.came(&[frame(6, 0, 8), frame(4, 0, 0)].concat(), now), Ok(()));
            // Two window updates per frame of 16 KiB, all at one moment.
            reader.sent(16 << 10);
            assert_eq!(reader.came(&[frame(8, 0, 4), frame(8, 0, 4)].concat(), NOW), Ok(()));
        }
    }

    #[test]
    fn the_level_does_not_depend_on_how_the_bytes_are_cut() {
        let frames = [
            frame(1, 0, 20),
            frame(9, 0, 7),
            frame(9, 4, 0),
            frame(6, 0, 8),
            frame(0, 0, 0),
            frame(3, 0, 4),
        ];
        let bytes = [crate::listener::PREFACE, &frames.concat()].concat();
        let mut whole = Flood::new(NOW);
        whole.came(&bytes, NOW).expect("few");
        for size in 1..bytes.len() {
            let mut cut = Flood::new(NOW);
            bytes.chunks(size).for_each(|part| cut.came(part, NOW).expect("few"));
            assert_eq!((cut.level, cut.is_heading()), (whole.level, false), "{size}");
        }
        assert_eq!(whole.level, 2 + 1 + 1 + RESET);
    }

    #[test]
    fn a_head_is_open_from_its_first_frame_to_its_last() {
        let mut flood = begun();
        let open: Vec<bool> = [
            frame(1, 0, 3)[..10].to_vec(),
            vec![0; 2],
            frame(9, 0, 0),
            frame(9, 4, 2)[..9].to_vec(),
            vec![0; 2],
        ]
        .iter()
        .map(|part| {
            flood.came(part, NOW).expect("few");
            flood.is_heading()
        })
        .collect();
        assert_eq!(open, [true, true, true, true, false]);
    }
}
