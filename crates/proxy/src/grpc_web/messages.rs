//! Where one message ends and the next begins: flags, a length in four bytes, and so many bytes.

/// Flags and length.
pub const PREFIX: usize = 5;
/// The only flag of a request's message: it is compressed.
const COMPRESSED: u8 = 1;

/// Follows the messages of a request, however they are cut. Their bytes are not looked at, nor held.
#[derive(Default, Debug)]
pub struct Messages {
    /// Bytes of a prefix that have come, fewer than all.
    prefix: usize,
    /// Its length as far as it has come.
    length: u32,
    /// Bytes of the message that are still to come.
    left: u32,
}

impl Messages {
    /// Reads on.
    ///
    /// # Errors
    /// Flags that no request has, such as those of trailers. The messages are spent then.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let n = bytes.len().min(self.left as usize);
                self.left -= n as u32;
                bytes = &bytes[n..];
                continue;
            }
            match self.prefix {
                0 if *first > COMPRESSED => return Err("a message of gRPC-Web whose flags are not 0 or 1"),
                0 => self.length = 0,
                _ => self.length = self.length << 8 | u32::from(*first),
            }
            self.prefix = (self.prefix + 1) % PREFIX;
            if self.prefix == 0 {
                self.left = self.length;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Whether it may end here.
    ///
    /// # Errors
    /// Within a message.
    pub fn finish(&self) -> Result<(), &'static str> {
        match (self.prefix, self.left) {
            (0, 0) => Ok(()),
            _ => Err("the last message of gRPC-Web is not whole"),
        }
    }
}
