//! A browser's side of gRPC-Web over HTTP/1.1: chunk by chunk as they come, and messages as gRPC frames them.

#![allow(
    dead_code,
    missing_docs,
    reason = "each test file uses a part, and names say what is what"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// A connection to the gateway.
pub struct Browser<S>(BufReader<S>);

/// A message as gRPC frames it.
pub fn message(payload: &str) -> Vec<u8> {
    framed(0, payload)
}

/// The frame of these trailers.
pub fn trailers(block: &str) -> Vec<u8> {
    framed(0x80, block)
}

fn framed(flags: u8, payload: &str) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&[flags], &length[..], payload.as_bytes()].concat()
}

pub fn base64(bytes: &[u8]) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

pub fn plain(text: &[u8]) -> Vec<u8> {
    STANDARD.decode(text).expect("one part of base64")
}

impl<S: AsyncRead + AsyncWrite + Unpin> Browser<S> {
    pub fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Calls with a body whose length is told; `fields` are lines.
    pub async fn call(&mut self, kind: &str, fields: &str, body: &[u8]) {
        let length = format!("Content-Length: {}\r\n{fields}", body.len());
        self.begin(kind, &length).await;
        self.write(body).await;
    }

    /// Begins a call whose body comes in chunks.
    pub async fn begin_chunked(&mut self, kind: &str) {
        self.begin(kind, "Transfer-Encoding: chunked\r\n").await;
    }

    pub async fn send_chunk(&mut self, data: &[u8]) {
        let chunk = [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
        self.write(&chunk).await;
    }

    async fn begin(&mut self, kind: &str, fields: &str) {
        let head = "POST /shop.Echo/Say HTTP/1.1\r\nHost: shop.example\r\nX-Grpc-Web: 1\r\n";
        let head = format!("{head}Content-Type: {kind}\r\n{fields}\r\n");
        self.write(head.as_bytes()).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("written");
        self.0.flush().await.expect("written");
    }

    pub async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).await.expect("read"), 0, "{head}");
        }
        head
    }

    /// The next chunk, empty at the end; `None`: the connection ended before.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        if self.0.read_line(&mut size).await.ok()? == 0 {
            return None;
        }
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        let mut data = vec![0; size + 2];
        self.0.read_exact(&mut data).await.ok()?;
        data.truncate(size);
        Some(data)
    }

    /// All chunks up to the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let chunk = self.chunk().await.expect("a whole answer");
            if chunk.is_empty() {
                return all;
            }
            all.extend(chunk);
        }
    }
}
