//! The two protocols between roles, and their frames.
//!
//! Both carry JSON in frames of a 4-byte big-endian length and that many bytes, over a Unix socket with mode 0600 in
//! `.ondol/run/`: [`proxy`] between controller and proxy, [`supervision`] between anyone and the supervisor, with its
//! blocking client in [`supervision_client`].

pub mod proxy;
pub mod supervision;
pub mod supervision_client;

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};

/// The largest frame: 64 MiB, 10,000 routes with room to spare.
pub const MAX_FRAME: usize = 64 << 20;

/// Writes one frame.
///
/// # Errors
/// Those of the writer; `InvalidData` when the message is larger than [`MAX_FRAME`].
pub fn write_frame(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(message)?)?;
    to.flush()
}

/// Reads one frame; `None` at a clean end.
///
/// # Errors
/// Those of the reader; `InvalidData` for a frame that is too large or no such message.
pub fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    let begun = loop {
        match from.read(&mut head) {
            // A process that was stopped and goes on: Linux ends a read that has a timeout (signal(7)).
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if begun == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[begun..])?;
    let mut body = vec![0; checked_len(head)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// A message as a frame.
///
/// # Errors
/// `InvalidData` when it is larger than [`MAX_FRAME`] or not JSON.
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; 4];
    serde_json::to_writer(&mut out, message).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let len = out.len() - 4;
    if len > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {len} bytes"),
        ));
    }
    out[..4].copy_from_slice(&(len as u32).to_be_bytes());
    Ok(out)
}

fn checked_len(head: [u8; 4]) -> io::Result<usize> {
    match u32::from_be_bytes(head) as usize {
        len if len > MAX_FRAME => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {len} bytes"),
        )),
        len => Ok(len),
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// The same frames over tokio's streams.
#[cfg(feature = "tokio")]
pub mod asynchronous {
    use super::{DeserializeOwned, Serialize, checked_len, decode, encode, io};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

    /// Writes one frame. Not cancel-safe.
    ///
    /// # Errors
    /// As [`super::write_frame`].
    pub async fn write_frame(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
        to.write_all(&encode(message)?).await?;
        to.flush().await
    }

    /// Reads one frame; `None` at a clean end. Not cancel-safe.
    ///
    /// # Errors
    /// As [`super::read_frame`].
    pub async fn read_frame<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
        let mut head = [0; 4];
        match from.read(&mut head).await? {
            0 => return Ok(None),
            n => from.read_exact(&mut head[n..]).await?,
        };
        let mut body = vec![0; checked_len(head)?];
        from.read_exact(&mut body).await?;
        decode(&body).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_and_a_hostile_length_is_refused() {
        let mut pipe = Vec::new();
        write_frame(&mut pipe, &vec!["a", "b"]).expect("write");
        let mut from = pipe.as_slice();
        assert_eq!(
            read_frame::<Vec<String>>(&mut from).expect("read"),
            Some(vec!["a".into(), "b".into()])
        );
        assert_eq!(read_frame::<Vec<String>>(&mut from).expect("end"), None);
        assert!(read_frame::<Vec<String>>(&mut [0xff, 0xff, 0xff, 0xff].as_slice()).is_err());
        assert!(read_frame::<Vec<String>>(&mut [0, 0, 0, 9, b'['].as_slice()).is_err());
    }

    #[test]
    fn a_read_that_a_signal_ended_is_made_again() {
        struct Interrupted<'a>(bool, &'a [u8]);
        impl Read for Interrupted<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0 = !self.0;
                if self.0 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                self.1.read(into)
            }
        }
        let mut pipe = Vec::new();
        write_frame(&mut pipe, &"a").expect("write");
        let mut from = Interrupted(false, &pipe);
        assert_eq!(read_frame::<String>(&mut from).expect("read"), Some("a".into()));
        assert_eq!(read_frame::<String>(&mut from).expect("end"), None);
    }
}
