//! The bytes that the conformance tables stand for.

/// Bytes from a conformance table: `\r`, `\n`, `\t`, `\\`, `\xNN`, and `{N*x}` for N times the byte x.
pub fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'x')) => {
                out.push(u8::from_str_radix(&text[at + 2..at + 4], 16).expect("two hexadecimal digits"));
                at += 4;
            }
            (b'\\', Some(escaped)) => {
                out.push(match escaped {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    other => *other,
                });
                at += 2;
            }
            (b'{', Some(b'0'..=b'9')) => {
                let end = at + closing(&text[at..]);
                let (count, unit) = text[at + 1..end].split_once('*').expect("N*text");
                let unit = unescape(unit);
                (0..count.parse().expect("a count")).for_each(|_: usize| out.extend_from_slice(&unit));
                at = end + 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Where the brace that `text` begins with is closed; braces of an inner `{N*x}` come in pairs.
fn closing(text: &str) -> usize {
    let mut open = 0;
    let ends = |c: char| {
        open += i32::from(c == '{') - i32::from(c == '}');
        open == 0
    };
    text.find(ends).expect("a closing brace")
}
