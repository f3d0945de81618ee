//! W3C trace context and request ids: a span per hop, even where no service knows of tracing.
//!
//! A valid `traceparent` is continued, anything else starts a new trace and drops `tracestate`, as the specification
//! (level 1) asks. The request id is the client's where it is a plain word, else the trace's id.

use crate::message::Fields;
use ondol_core::entropy::Entropy;

/// Longest request id taken from outside, bytes.
const LONGEST_ID: usize = 128;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// One hop of one trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The trace; not zero.
    pub id: u128,
    /// The span of whoever called; `None`: the trace starts here.
    pub parent: Option<u64>,
    /// This hop's span; not zero.
    pub span: u64,
    /// The caller's wish, or true for a new trace.
    pub sampled: bool,
}

impl Trace {
    /// Continues the request's trace or starts one.
    pub fn of(fields: &Fields, random: &dyn Entropy) -> Self {
        let span = random.next_u64().max(1);
        let mut all = fields.all("traceparent");
        // Two of them contradict each other: neither is believed.
        match (all.next().and_then(parse), all.next()) {
            (Some((id, parent, sampled)), None) => Self {
                id,
                parent: Some(parent),
                span,
                sampled,
            },
            _ => {
                let id = (u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())).max(1);
                Self {
                    id,
                    parent: None,
                    span,
                    sampled: true,
                }
            }
        }
    }

    /// Tells the next hop: this hop's span is its parent. Also sees to `x-request-id`.
    pub fn write(&self, fields: &mut Fields) {
        if self.parent.is_none() {
            fields.remove("tracestate");
        }
        let id = hex(&self.id.to_be_bytes());
        let mut parent = *b"00-................................-................-00";
        parent[3..35].copy_from_slice(&id[..32]);
        parent[36..52].copy_from_slice(&hex(&self.span.to_be_bytes())[..16]);
        parent[54] += u8::from(self.sampled);
        fields.set("traceparent", parent);
        if !fields.get("x-request-id").is_some_and(is_plain_id) {
            fields.set("x-request-id", &id[..32]);
        }
    }
}

/// Up to 16 bytes as digits, on the stack: each request writes several such numbers.
pub(crate) fn hex(bytes: &[u8]) -> [u8; 32] {
    let mut out = [b'0'; 32];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out
}

fn is_plain_id(value: &[u8]) -> bool {
    (1..=LONGEST_ID).contains(&value.len())
        && value
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

/// Trace, parent, sampled.
fn parse(value: &[u8]) -> Option<(u128, u64, bool)> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split('-');
    let mut next = |len| {
        parts
            .next()
            .filter(|part| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    };
    let version = next(2)?;
    let id = u128::from_str_radix(next(32)?, 16).ok()?;
    let parent = u64::from_str_radix(next(16)?, 16).ok()?;
    let flags = u8::from_str_radix(next(2)?, 16).ok()?;
    let more = parts.next().is_some();
    // Version 00 has four parts; later ones may have more; ff is none.
    (version != "ff" && !(version == "00" && more) && id != 0 && parent != 0).then_some((id, parent, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::entropy::SeededEntropy;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_is_continued_with_a_span_of_this_hop() {
        let mut fields: Fields = [("traceparent", GOOD), ("tracestate", "a=1"), ("x-request-id", "r-1")]
            .into_iter()
            .collect();
        let trace = Trace::of(&fields, &SeededEntropy::new(1));
        assert_eq!(
            (trace.id, trace.parent),
            (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, Some(0xb7ad_6b71_6920_3331))
        );
        trace.write(&mut fields);
        let expected = format!("00-{:032x}-{:016x}-01", trace.id, trace.span);
        assert_eq!(fields.get_str("traceparent"), Some(expected.as_str()));
        let sent = Trace::of(&fields, &SeededEntropy::new(2));
        assert_eq!((sent.id, sent.parent, sent.sampled), (trace.id, Some(trace.span), true));
        assert_eq!(
            (fields.get_str("tracestate"), fields.get_str("x-request-id")),
            (Some("a=1"), Some("r-1"))
        );
    }

    #[test]
    fn what_is_no_trace_parent_starts_a_trace() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            let mut fields: Fields = [("traceparent", bad), ("tracestate", "a=1"), ("x-request-id", "a b")]
                .into_iter()
                .collect();
            let trace = Trace::of(&fields, &SeededEntropy::new(1));
            assert_eq!((trace.parent, trace.sampled), (None, true), "{bad}");
            trace.write(&mut fields);
            assert!(!fields.contains("tracestate"));
            assert_eq!(
                fields.get_str("x-request-id"),
                Some(format!("{:032x}", trace.id).as_str())
            );
        }
        let two: Fields = [("traceparent", GOOD), ("traceparent", GOOD)].into_iter().collect();
        assert_eq!(Trace::of(&two, &SeededEntropy::new(1)).parent, None);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let fields: Fields = [(
            "traceparent",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more",
        )]
        .into_iter()
        .collect();
        let trace = Trace::of(&fields, &SeededEntropy::new(1));
        assert_eq!((trace.parent.is_some(), trace.sampled), (true, false));
    }
}
