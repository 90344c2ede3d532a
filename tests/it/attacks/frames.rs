//! HTTP/2 frame by frame (RFC 9113), with nothing between the test and the wire.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::harness::PATIENCE;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it came.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With a whole answer: the body.
    Answered(Vec<u8>),
    /// Reset with this code.
    Reset(u32),
    /// With the connection: the code of its GOAWAY, if one came.
    Connection(Option<u32>),
}

impl End {
    pub(super) fn reason(&self) -> Option<String> {
        let Self::Answered(body) = self else {
            return None;
        };
        let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
        Some(problem["reason"].as_str()?.to_owned())
    }
}

/// One connection.
pub(super) struct Frames {
    pub(super) socket: TcpStream,
    pending: Vec<u8>,
}

impl Frames {
    /// With the preface and these settings.
    pub(super) fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::silent(address);
        frames.send(PREFACE);
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frames.send(&frame(SETTINGS, 0, 0, &payload));
        frames
    }

    /// Connected, with nothing sent.
    pub(super) fn silent(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("the gateway listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_nodelay(true).expect("no delay");
        Self {
            socket,
            pending: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("sent");
    }

    pub(super) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// The next frame; `None` at the end of the connection.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take() {
                return Ok(Some(frame));
            }
            let mut bytes = [0; 16 * 1024];
            match self.socket.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(count) => self.pending.extend_from_slice(&bytes[..count]),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Err(error);
                }
                Err(_) => return Ok(None),
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.pending.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let payload = self.pending.get(9..9 + length)?.to_vec();
        self.pending.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Reads on until this stream has ended, acknowledging and granting what is owed.
    pub(super) fn end_of(&mut self, stream: u32) -> End {
        let mut body = Vec::new();
        let mut goaway = None;
        loop {
            let Some(frame) = self.next().expect("the gateway says something") else {
                return End::Connection(goaway);
            };
            match (frame.kind, frame.stream) {
                (DATA, id) if id == stream => {
                    body.extend_from_slice(&frame.payload);
                    let granted = u32::try_from(frame.payload.len()).expect("small");
                    if granted > 0 {
                        let granted = granted.to_be_bytes();
                        self.try_send(&self::frame(WINDOW_UPDATE, 0, 0, &granted));
                        self.try_send(&self::frame(WINDOW_UPDATE, 0, stream, &granted));
                    }
                    if frame.flags & END_STREAM != 0 {
                        return End::Answered(body);
                    }
                }
                (HEADERS, id) if id == stream && frame.flags & END_STREAM != 0 => {
                    return End::Answered(body);
                }
                (RST_STREAM, id) if id == stream => return End::Reset(code(&frame.payload[..4])),
                (SETTINGS, _) if frame.flags == 0 => {
                    self.try_send(&self::frame(SETTINGS, 1, 0, &[]));
                }
                (GOAWAY, _) => goaway = Some(code(&frame.payload[4..8])),
                _ => {}
            }
        }
    }

    /// Whether the gateway ends the connection within this time, whatever it says before.
    pub(super) fn ends_within(&mut self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).expect("a timeout");
        loop {
            match self.next() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }
}

fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// One frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A HEADERS frame with these fields, as literals (RFC 7541, section 6.2.2).
pub(super) fn headers(stream: u32, fields: &[(&str, &str)], end_stream: bool) -> Vec<u8> {
    let flags = END_HEADERS | if end_stream { END_STREAM } else { 0 };
    frame(HEADERS, flags, stream, &block(fields))
}

/// A field block of literals that no table remembers.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        string(&mut bytes, name.as_bytes());
        string(&mut bytes, value.as_bytes());
    }
    bytes
}

/// A string literal without Huffman coding (RFC 7541, sections 5.1 and 5.2).
pub(super) fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 127 {
        bytes.push(u8::try_from(length).expect("small"));
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push(u8::try_from(length % 128).expect("small") | 128);
            length /= 128;
        }
        bytes.push(u8::try_from(length).expect("small"));
    }
    bytes.extend_from_slice(text);
}

/// The fields of a GET by this caller.
pub(super) fn get<'a>(path: &'a str, bearer: &'a str) -> Vec<(&'a str, &'a str)> {
    fields("GET", path, bearer)
}

/// The fields of a POST by this caller.
pub(super) fn post<'a>(path: &'a str, bearer: &'a str) -> Vec<(&'a str, &'a str)> {
    fields("POST", path, bearer)
}

fn fields<'a>(method: &'a str, path: &'a str, bearer: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "app.test"),
        (":path", path),
    ];
    if !bearer.is_empty() {
        fields.push(("authorization", bearer));
    }
    fields
}
