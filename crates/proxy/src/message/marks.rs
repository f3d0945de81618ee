//! A small Bloom filter over the names of fields: most look-ups are for names that are not there, and cost no search.
//!
//! Of each name it remembers the first letter, and something of its length and end. A name that was taken away may stay marked.

/// What is remembered of some names.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks(u64);

impl Marks {
    /// Remembers a lower-case name.
    pub(super) fn add(&mut self, name: &[u8]) {
        self.0 |= bits(name);
    }

    /// False only where this lower-case name was never added. `#[inline]`: of a name that the caller's code has, its bits are constant.
    #[inline(always)]
    pub(super) fn may_have(self, name: &[u8]) -> bool {
        let bits = bits(name);
        self.0 & bits == bits
    }

    /// False only where no name that begins like this one was ever added.
    #[inline(always)]
    pub(super) fn may_begin(self, prefix: &[u8]) -> bool {
        prefix.first().is_none_or(|first| self.0 & letter(*first) != 0)
    }
}

/// A bit of the lower half for the first letter, and one of the upper half. 23 parts the names that are looked for from those that
/// usually come.
#[inline(always)]
fn bits(name: &[u8]) -> u64 {
    match name {
        [first, .., last] => letter(*first) | 1 << (32 + (name.len() + 23 * usize::from(*last)) % 32),
        _ => u64::MAX,
    }
}

#[inline(always)]
fn letter(first: u8) -> u64 {
    1 << (first % 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_never_missed() {
        let names: [&[u8]; 7] = [
            b"",
            b"a",
            b"te",
            b"host",
            b"ondol-caller",
            b"x-request-id",
            &[0xff; 300],
        ];
        for name in names {
            let mut marks = Marks::default();
            assert!(!marks.may_have(b"connection") && !marks.may_begin(b"ondol-"));
            marks.add(name);
            assert!(marks.may_have(name) && marks.may_begin(&name[..name.len().min(1)]));
        }
    }

    #[test]
    fn what_browsers_send_is_not_taken_for_what_is_looked_for() {
        let mut marks = Marks::default();
        let sent = [
            "user-agent",
            "accept",
            "accept-language",
            "accept-encoding",
            "cookie",
            "referer",
            "origin",
        ];
        sent.iter().for_each(|name| marks.add(name.as_bytes()));
        let wanted = [
            "connection",
            "upgrade",
            "expect",
            "te",
            "trailer",
            "traceparent",
            "x-request-id",
            "grpc-timeout",
        ];
        let missed: Vec<_> = wanted.iter().filter(|name| marks.may_have(name.as_bytes())).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
}
