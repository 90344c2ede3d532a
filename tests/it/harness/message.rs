//! HTTP/1.1 messages as they stand on the wire (RFC 9112), read leniently and without judgement:
//! the tests judge.

use std::io::{self, Read, Write};

/// A start line and its fields, in order, names as they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter(|line| !line.is_empty()).map(field).collect();
        Self { start, fields }
    }

    /// The first value of this field.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Every value of this field, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The field names, lower-case.
    pub(crate) fn names(&self) -> Vec<String> {
        let lower = |(name, _): &(String, String)| name.to_ascii_lowercase();
        self.fields.iter().map(lower).collect()
    }

    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        self.target().parse().unwrap_or(0)
    }

    /// How the body of a request ends.
    pub(crate) fn request_framing(&self) -> Framing {
        self.framing().unwrap_or(Framing::Length(0))
    }

    /// How the body of a response to `method` ends.
    pub(crate) fn response_framing(&self, method: &str) -> Framing {
        let status = self.status();
        if method == "HEAD" || status == 204 || status == 304 || (100..200).contains(&status) {
            return Framing::Length(0);
        }
        self.framing().unwrap_or(Framing::Close)
    }

    fn framing(&self) -> Option<Framing> {
        let coding = self.get("transfer-encoding");
        if coding.is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked")) {
            return Some(Framing::Chunked);
        }
        let length = self.get("content-length")?;
        Some(Framing::Length(length.trim().parse().ok()?))
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    Close,
}

/// What followed a body: whether its framing was completed, and its trailers.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyEnd {
    pub(crate) complete: bool,
    pub(crate) trailers: Vec<(String, String)>,
}

/// A stream of bytes, with what was read of it and not yet used.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    pub(crate) pending: Vec<u8>,
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// Reads once more; zero is the end.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = vec![0; 64 * 1024];
        let count = self.stream.read(&mut chunk)?;
        self.pending.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// The next head; `None` where the stream ends before one begins.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n\r\n") {
                let head = Head::parse(&self.pending[..end]);
                self.pending.drain(..end + 4);
                return Ok(Some(head));
            }
            if self.fill()? == 0 {
                if self.pending.is_empty() {
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads a body to its end, or as far as it goes.
    pub(crate) fn body(&mut self, framing: Framing, sink: &mut dyn FnMut(&[u8])) -> BodyEnd {
        let mut end = BodyEnd::default();
        end.complete = match framing {
            Framing::Length(length) => self.exactly(length, sink).is_ok(),
            Framing::Chunked => self.chunked(sink, &mut end.trailers).is_ok(),
            Framing::Close => self.until_close(sink).is_ok(),
        };
        end
    }

    /// The next chunk of a chunked body; empty is the last one.
    pub(crate) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = self.line()?;
        let size = size.split(';').next().unwrap_or_default().trim().to_owned();
        let size = u64::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut data = Vec::new();
        if size > 0 {
            self.exactly(size, &mut |bytes| data.extend_from_slice(bytes))?;
            self.exactly(2, &mut |_| ())?;
        }
        Ok(data)
    }

    fn chunked(
        &mut self,
        sink: &mut dyn FnMut(&[u8]),
        trailers: &mut Vec<(String, String)>,
    ) -> io::Result<()> {
        loop {
            let data = self.chunk()?;
            if data.is_empty() {
                break;
            }
            sink(&data);
        }
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(());
            }
            trailers.push(field(&line));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n") {
                let line = String::from_utf8_lossy(&self.pending[..end]).into_owned();
                self.pending.drain(..end + 2);
                return Ok(line);
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, length: u64, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if self.pending.is_empty() {
                self.more()?;
            }
            let some = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.pending.len());
            sink(&self.pending[..some]);
            self.pending.drain(..some);
            left -= some as u64;
        }
        Ok(())
    }

    fn until_close(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            sink(&self.pending);
            self.pending.clear();
            if self.fill()? == 0 {
                return Ok(());
            }
        }
    }

    fn more(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
