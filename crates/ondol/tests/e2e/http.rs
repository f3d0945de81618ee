//! HTTP/1.1 for both ends of the tests, blocking, and naive on purpose: what is under test is between them.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fields to send.
pub type Fields<'a> = &'a [(&'a str, &'a str)];

/// A message's first line, fields and body.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// An answer's status.
    pub fn status(&self) -> u16 {
        let code = self.line.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status line: {:?}", self.line))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the whole answer where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.line, self.text()))
    }

    /// Asserts the status and gives the message back.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{:?} {}", self.fields, self.text());
        self
    }

    /// Reads one; `None` where the other side has closed. An answer is read with `answers` set: without a length it goes on to
    /// the end of the connection.
    pub fn read(from: &mut BufReader<TcpStream>, answers: bool) -> io::Result<Option<Self>> {
        let mut message = Self::default();
        if line(from, &mut message.line)? == 0 {
            return Ok(None);
        }
        loop {
            let mut field = String::new();
            if line(from, &mut field)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match field.split_once(':') {
                Some((name, value)) => message.fields.push((name.to_owned(), value.trim().to_owned())),
                None => break,
            }
        }
        let length = message.field("content-length").and_then(|text| text.parse().ok());
        match (message.field("transfer-encoding"), length) {
            (Some(_), _) => message.read_chunks(from)?,
            (None, Some(length)) => {
                message.body = vec![0; length];
                from.read_exact(&mut message.body)?;
            }
            (None, None) if answers && !matches!(message.status(), 204 | 304) => {
                from.read_to_end(&mut message.body)?;
            }
            (None, None) => {}
        }
        Ok(Some(message))
    }

    fn read_chunks(&mut self, from: &mut BufReader<TcpStream>) -> io::Result<()> {
        loop {
            let mut size = String::new();
            line(from, &mut size)?;
            let size =
                usize::from_str_radix(&size, 16).map_err(|_| io::Error::other(format!("chunk size {size:?}")))?;
            let start = self.body.len();
            self.body.resize(start + size, 0);
            from.read_exact(&mut self.body[start..])?;
            line(from, &mut String::new())?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// One line without its end; the number of bytes read.
fn line(from: &mut BufReader<TcpStream>, into: &mut String) -> io::Result<usize> {
    let read = from.read_line(into)?;
    into.truncate(into.trim_end_matches(['\r', '\n']).len());
    Ok(read)
}

/// A kept connection to one address.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            host: address.to_owned(),
        })
    }

    /// One request and its answer. `Host` and `Content-Length` are added where `fields` has none.
    pub fn ask(&mut self, method: &str, path: &str, fields: Fields, body: &[u8]) -> io::Result<Message> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", self.host));
        }
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// Sends these bytes and reads one answer.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<Message> {
        // A refusal may come before everything is sent; then the answer is what counts.
        let sent = self.stream.get_mut().write_all(bytes);
        match Message::read(&mut self.stream, true)? {
            Some(answer) => Ok(answer),
            None => Err(sent.err().unwrap_or(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// One request on a connection of its own.
pub fn ask(address: &str, method: &str, path: &str, fields: Fields, body: &[u8]) -> io::Result<Message> {
    Connection::open(address)?.ask(method, path, fields, body)
}
