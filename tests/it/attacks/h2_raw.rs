//! HTTP/2 by hand (RFC 9113), for requests that no library would send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::harness::PATIENCE;

/// What came back first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// A response, and the first byte of its header block: 0x88 is 200, 0x8c is 400 (RFC 7541,
    /// appendix A).
    Headers(u8),
    /// The stream was reset.
    Reset,
    /// The connection was ended.
    Ended,
}

/// Sends one request without a body, whose header block this is; gives what comes back.
pub(super) fn answer(address: SocketAddr, block: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    let mut pieces = block.chunks(16_000).peekable();
    let mut kind = 1;
    while let Some(piece) = pieces.next() {
        let end_headers = if pieces.peek().is_none() { 4 } else { 0 };
        let end_stream = u8::from(kind == 1);
        bytes.extend(frame(kind, end_headers | end_stream, 1, piece));
        kind = 9;
    }
    socket.write_all(&bytes).expect("taken");
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Answer::Ended,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Answer::Ended,
            Err(error) => panic!("no answer: {error}"),
        }
        if let Some(answer) = first(&read) {
            return answer;
        }
    }
}

/// A header field without indexing and with a new name.
pub(super) fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("below 127");
    let mut field = vec![0, length(name)];
    field.extend(name.as_bytes());
    field.push(length(value));
    field.extend(value.as_bytes());
    field
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The first whole frame that answers.
fn first(mut bytes: &[u8]) -> Option<Answer> {
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        let end = 9 + usize::try_from(length).expect("short");
        let payload = bytes.get(9..end)?;
        match bytes[3] {
            1 => return Some(Answer::Headers(*payload.first()?)),
            3 => return Some(Answer::Reset),
            7 => return Some(Answer::Ended),
            _ => bytes = &bytes[end..],
        }
    }
    None
}
