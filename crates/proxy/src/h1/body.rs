//! HTTP/1 bodies from bytes: by length, by chunks with trailers, or until the end. Reads no socket.
//!
//! A chunk's size is 1 to 15 hexadecimal digits, then perhaps an extension (ignored, at most 1 KiB of them in one body),
//! then CRLF; anything else breaks the body. Trailers have the limits of a head; those that may not be trailers vanish.

use super::head::{self, Length};
use crate::message::{Fields, PIECE};
use bytes::{Buf, Bytes, BytesMut};

const MAX_EXTENSIONS: usize = 1 << 10;
const MAX_SIZE_LINE: usize = 15 + MAX_EXTENSIONS + 2;

/// What one look at the bytes gave.
#[derive(Debug)]
pub enum Step {
    /// A piece.
    Data(Bytes),
    /// The trailers; then the end.
    Trailers(Fields),
    /// The end.
    End,
    /// More bytes are needed.
    More,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Exact(u64),
    Size,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

/// What is read at once of a body of which little is to come, bytes.
const LITTLE: u64 = 8 << 10;

/// Takes a body out of a connection's bytes.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extensions: usize,
}

impl Decoder {
    /// For a body framed so.
    pub fn new(length: Length) -> Self {
        let state = match length {
            Length::Exact(0) => State::Done,
            Length::Exact(n) => State::Exact(n),
            Length::Chunked => State::Size,
            Length::UntilClose => State::UntilClose,
        };
        Self { state, extensions: 0 }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the connection here is the end of the body.
    pub fn may_end_with_connection(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// How many bytes are known to come at least; `None` when that is not known.
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Exact(n) => Some(n),
            _ => None,
        }
    }

    /// How much to read at once. Large bodies are read in large pieces; little is known to come in small ones. The last piece has
    /// room for one byte more than the rest: a read that does not fill its room says that there is no more for now.
    pub fn wants(&self) -> usize {
        match self.state {
            State::Exact(left) | State::Chunk(left) => left.saturating_add(1).clamp(LITTLE, PIECE as u64) as usize,
            _ => 2 * LITTLE as usize,
        }
    }

    /// Takes the next piece out of `buf`.
    ///
    /// # Errors
    /// What breaks the framing; the connection is of no use then.
    pub fn step(&mut self, buf: &mut BytesMut) -> Result<Step, &'static str> {
        loop {
            match self.state {
                State::Done => return Ok(Step::End),
                State::Exact(left) | State::Chunk(left) => {
                    if buf.is_empty() {
                        return Ok(Step::More);
                    }
                    let n = buf.len().min(PIECE).min(usize::try_from(left).unwrap_or(PIECE));
                    let left = left - n as u64;
                    self.state = match self.state {
                        State::Exact(_) if left == 0 => State::Done,
                        State::Exact(_) => State::Exact(left),
                        _ if left == 0 => State::ChunkEnd,
                        _ => State::Chunk(left),
                    };
                    return Ok(Step::Data(buf.split_to(n).freeze()));
                }
                State::UntilClose if buf.is_empty() => return Ok(Step::More),
                State::UntilClose => return Ok(Step::Data(buf.split_to(buf.len().min(PIECE)).freeze())),
                State::Size => match self.size_line(buf)? {
                    None => return Ok(Step::More),
                    Some(0) => self.state = State::Trailers,
                    Some(n) => self.state = State::Chunk(n),
                },
                State::ChunkEnd => match buf.as_ref() {
                    [b'\r', b'\n', ..] => {
                        buf.advance(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(Step::More),
                    _ => return Err("a chunk is not followed by CRLF"),
                },
                State::Trailers => return self.trailers(buf),
            }
        }
    }

    fn size_line(&mut self, buf: &mut BytesMut) -> Result<Option<u64>, &'static str> {
        let window = &buf[..buf.len().min(MAX_SIZE_LINE)];
        let Some(lf) = memchr::memchr(b'\n', window) else {
            return if window.len() == MAX_SIZE_LINE {
                Err("a chunk-size line is too long")
            } else {
                Ok(None)
            };
        };
        let line = window[..lf]
            .strip_suffix(b"\r")
            .ok_or("a chunk-size line ends without CR")?;
        let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
        if !(1..=15).contains(&digits) {
            return Err("a chunk size is not 1 to 15 hexadecimal digits");
        }
        let extension = &line[digits..];
        self.extensions += extension.len();
        if extension.first().is_some_and(|b| *b != b';') || extension.iter().any(|b| b.is_ascii_control()) {
            return Err("a chunk size is followed by something that is no extension");
        }
        if self.extensions > MAX_EXTENSIONS {
            return Err("chunk extensions are larger than 1 KiB");
        }
        let text = std::str::from_utf8(&line[..digits]).map_err(|_| "a chunk size is not hexadecimal")?;
        let size = u64::from_str_radix(text, 16).map_err(|_| "a chunk size is not hexadecimal")?;
        buf.advance(lf + 1);
        Ok(Some(size))
    }

    fn trailers(&mut self, buf: &mut BytesMut) -> Result<Step, &'static str> {
        match buf.as_ref() {
            [b'\r', b'\n', ..] => {
                buf.advance(2);
                self.state = State::Done;
                return Ok(Step::End);
            }
            [] | [b'\r'] => return Ok(Step::More),
            _ => {}
        }
        let window = &buf[..buf.len().min(head::MAX_HEAD)];
        match head::find_end(window, &mut 0).map_err(|_| "a trailer line ends without CR")? {
            Some(end) => {
                let fields = head::trailers(&buf[..end]).map_err(|_| "the trailers are no fields")?;
                buf.advance(end);
                self.state = State::Done;
                if fields.is_empty() {
                    Ok(Step::End)
                } else {
                    Ok(Step::Trailers(fields))
                }
            }
            None if window.len() < head::MAX_HEAD => Ok(Step::More),
            None => Err("the trailers are too large"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unescape;

    /// Decodes, giving the bytes in parts of `part`; data, trailers and what is left over, or the error.
    fn decode(bytes: &[u8], part: usize) -> Result<String, &'static str> {
        let (mut decoder, mut buf) = (Decoder::new(Length::Chunked), BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), String::new());
        let mut parts = bytes.chunks(part);
        loop {
            match decoder.step(&mut buf)? {
                Step::Data(piece) => data.extend_from_slice(&piece),
                Step::Trailers(fields) => {
                    for (name, value) in fields.iter() {
                        trailers.push_str(&format!(" {name}={}", value.escape_ascii()));
                    }
                }
                Step::End => {
                    buf.extend(parts.flatten());
                    return Ok(format!("{}{trailers} +{}", data.escape_ascii(), buf.len()));
                }
                Step::More => match parts.next() {
                    Some(part) => buf.extend_from_slice(part),
                    None => return Ok(format!("{}{trailers} more", data.escape_ascii())),
                },
            }
        }
    }

    /// `conformance/gateway/chunks.tsv`: name, bytes (escaped), then data, trailers and bytes left over, or the refusal.
    #[test]
    fn every_body_of_the_conformance_table_reads_the_same_in_one_piece_and_byte_by_byte() {
        let table = include_str!("../../../../conformance/gateway/chunks.tsv");
        let mut seen = 0;
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let columns: Vec<_> = line.split('\t').collect();
            let bytes = unescape(columns[1]);
            for part in [bytes.len().max(1), 1, 3] {
                let got = decode(&bytes, part).unwrap_or_else(|error| format!("! {error}"));
                assert_eq!(got, columns[2], "{} in parts of {part}", columns[0]);
            }
            seen += 1;
        }
        assert!(seen > 20);
    }

    proptest::proptest! {
        #[test]
        fn what_is_chunked_comes_out_whole(pieces in proptest::collection::vec(proptest::collection::vec(0_u8..=255, 1..40), 0..8), part in 1_usize..64) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend(format!("{:x}\r\n", piece.len()).bytes());
                wire.extend(piece);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\nrest");
            let want = format!("{} +4", pieces.concat().escape_ascii());
            proptest::prop_assert_eq!(decode(&wire, part), Ok(want));
        }
    }
}
