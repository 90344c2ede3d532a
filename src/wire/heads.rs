//! Heads: what hyper's HTTP/1 parser hides from us, seen on the bytes themselves.
//!
//! hyper 1.12 drops a Content-Length that stands beside a Transfer-Encoding, cuts `#…` off the
//! target and takes a bare LF for a line's end before a service can notice. All three are harmless
//! once the message is written anew, and all three are how requests are smuggled past parsers that
//! read them otherwise; so they are refused. So are two Content-Length lines that are one number in
//! two spellings, of which hyper shows the first. [`Heads`] reads along, message by message; it
//! frames as hyper does and judges nothing else. Where it loses track no further request of the
//! connection is believed.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::WireError;

/// Longest line that is remembered between two reads, unless told otherwise.
const MAX_LINE: usize = 64 * 1024;

/// Most heads that can be waiting for their request to be handled.
const MAX_WAITING: usize = 64 * 1024;

/// What hyper hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    BareLf,
    Fragment,
    OddLength,
    TwoFramings,
    TwoLengths,
    /// The bytes before this head cannot be told apart into messages for certain.
    OutOfStep,
    /// More fields than the parser has room for; it was shown the first ones.
    TooManyFields,
}

impl Fault {
    const fn error(self) -> WireError {
        match self {
            Self::BareLf => WireError::Malformed("a line that ends in a bare LF"),
            Self::Fragment => WireError::Malformed("a fragment in the request target"),
            Self::OddLength => WireError::Ambiguous("a Content-Length that is not a plain number"),
            Self::TwoFramings => WireError::Ambiguous("both Transfer-Encoding and Content-Length"),
            Self::TwoLengths => WireError::Ambiguous("two different Content-Length lines"),
            Self::OutOfStep => WireError::Ambiguous("a request behind bytes with two readings"),
            Self::TooManyFields => WireError::HeadersTooLarge,
        }
    }
}

/// The heads of one HTTP/1 connection, shared between its socket and its service.
#[derive(Clone, Default)]
pub struct Heads(Arc<Mutex<Scanner>>);

impl Heads {
    /// Heads whose lines are followed up to this length: what the parser itself can hold. A head with
    /// more than `fields` is shown to it up to there and refused, and nothing behind it is read.
    #[must_use]
    pub fn bounded(longest: usize, fields: usize) -> Self {
        let heads = Self::default();
        {
            let mut scanner = heads.scanner();
            scanner.longest = longest;
            scanner.most_fields = fields;
        }
        heads
    }

    /// Takes what was seen in the next head; call it once for each request, in order.
    #[must_use]
    pub fn next_fault(&self) -> Option<WireError> {
        let mut scanner = self.scanner();
        let seen = match scanner.waiting.pop_front() {
            Some(seen) => seen,
            None => (scanner.at == At::Lost).then_some(Fault::OutOfStep),
        };
        seen.map(Fault::error)
    }

    /// Stops reading along: the connection has become a tunnel.
    pub fn stop(&self) {
        let mut scanner = self.scanner();
        *scanner = Scanner::default();
        scanner.at = At::Stopped;
    }

    /// Reads along; gives where the bytes must end for the parser, if they must.
    fn feed(&self, bytes: &[u8]) -> Option<usize> {
        self.scanner().feed(bytes)
    }

    /// Whether nothing more is to be read.
    fn is_cut(&self) -> bool {
        self.scanner().at == At::Cut
    }

    fn scanner(&self) -> std::sync::MutexGuard<'_, Scanner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Scanner {
    at: At,
    longest: usize,
    most_fields: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    head: Head,
    waiting: VecDeque<Option<Fault>>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            at: At::Start,
            longest: MAX_LINE,
            most_fields: usize::MAX,
            line: Vec::new(),
            head: Head::default(),
            waiting: VecDeque::new(),
        }
    }
}

#[derive(Default)]
struct Head {
    fault: Option<Fault>,
    length: Option<u64>,
    /// The first Content-Length as it was spelled.
    spelled: Option<Vec<u8>>,
    coded: bool,
    fields: usize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A request line, or the empty lines that may stand before it.
    #[default]
    Start,
    /// A header line.
    Header,
    /// So many bytes of a body, and then the next head.
    Body(u64),
    /// The line with a chunk's size.
    ChunkSize,
    /// So many bytes of a chunk and its CRLF.
    Chunk(u64),
    /// A trailer line.
    Trailer,
    /// No longer in step: what follows is not believed.
    Lost,
    /// Not HTTP/1 any more, by agreement.
    Stopped,
    /// Within a head that was refused.
    Cut,
}

impl Scanner {
    fn feed(&mut self, all: &[u8]) -> Option<usize> {
        let mut bytes = all;
        while let Some(first) = bytes.first() {
            bytes = match self.at {
                At::Lost | At::Stopped | At::Cut => return None,
                At::Header if self.is_full() && !matches!(first, b'\r' | b'\n') => {
                    self.waiting.push_back(Some(Fault::TooManyFields));
                    self.at = At::Cut;
                    return Some(all.len() - bytes.len());
                }
                At::Body(left) => self.skip(bytes, left, At::Body, At::Start),
                At::Chunk(left) => self.skip(bytes, left, At::Chunk, At::ChunkSize),
                At::Start | At::Header | At::ChunkSize | At::Trailer => self.read_line(bytes),
            };
        }
        None
    }

    /// Whether a head has all the fields that it may, and the next byte begins a line.
    const fn is_full(&self) -> bool {
        self.head.fields >= self.most_fields && self.line.is_empty()
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, more: fn(u64) -> At, then: At) -> &'a [u8] {
        let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left.saturating_sub(here as u64);
        self.at = if left == 0 { then } else { more(left) };
        bytes.get(here..).unwrap_or_default()
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            if self.line.len() > self.longest {
                self.at = At::Lost;
                self.line = Vec::new();
            }
            return &[];
        };
        let (line, rest) = bytes.split_at_checked(end).unwrap_or_default();
        if self.line.is_empty() {
            self.take_line(line);
        } else {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(line);
            self.take_line(&whole);
            // Keeps the buffer for the next split line.
            whole.clear();
            self.line = whole;
        }
        rest.get(1..).unwrap_or_default()
    }

    fn take_line(&mut self, line: &[u8]) {
        let (line, bare) = match line.strip_suffix(b"\r") {
            Some(line) => (line, false),
            None => (line, true),
        };
        match self.at {
            At::Start => self.take_request_line(line, bare),
            At::Header => {
                if bare {
                    self.head.fault.get_or_insert(Fault::BareLf);
                }
                self.take_header(line);
            }
            At::ChunkSize => self.at = chunk(line),
            // hyper takes a bare LF for part of a trailer here, and for its end when it reads the
            // trailers; others take it for the end of the section.
            At::Trailer if bare => self.at = At::Lost,
            At::Trailer if line.is_empty() => self.at = At::Start,
            At::Trailer | At::Body(_) | At::Chunk(_) | At::Lost | At::Stopped | At::Cut => {}
        }
    }

    fn take_request_line(&mut self, line: &[u8], bare: bool) {
        if line.is_empty() {
            // RFC 9112, section 2.2: an empty line before a request line is skipped.
            return;
        }
        let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        if !version.starts_with(b"HTTP/1.") {
            self.at = At::Lost;
            return;
        }
        self.head = Head::default();
        if bare {
            self.head.fault = Some(Fault::BareLf);
        } else if line.contains(&b'#') {
            self.head.fault = Some(Fault::Fragment);
        }
        self.at = At::Header;
    }

    fn take_header(&mut self, line: &[u8]) {
        if line.is_empty() {
            self.end_head();
            return;
        }
        self.head.fields += 1;
        let colon = line.iter().position(|byte| *byte == b':');
        let Some((name, value)) = colon.and_then(|colon| line.split_at_checked(colon)) else {
            return;
        };
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.head.coded = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            match &self.head.spelled {
                None => self.head.spelled = Some(value.to_vec()),
                Some(first) if first == value => {}
                Some(_) => self.head.fault = Some(Fault::TwoLengths),
            }
            let digits = std::str::from_utf8(value).unwrap_or_default();
            let plain = digits == "0" || !digits.starts_with('0');
            if !plain || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                self.head.fault.get_or_insert(Fault::OddLength);
            }
            match digits.parse() {
                Ok(length) => self.head.length = Some(length),
                // hyper refuses it, and the connection ends; or ignores it beside a
                // Transfer-Encoding.
                Err(_) => self.head.length = self.head.length.or(Some(0)),
            }
        }
    }

    fn end_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        let two = (head.coded && head.length.is_some()).then_some(Fault::TwoFramings);
        if self.waiting.len() >= MAX_WAITING {
            self.at = At::Lost;
            return;
        }
        self.waiting.push_back(two.or(head.fault));
        self.at = match head.length {
            _ if head.coded => At::ChunkSize,
            None | Some(0) => At::Start,
            Some(length) => At::Body(length),
        };
    }
}

/// What follows a line with a chunk's size (RFC 9112, section 7.1).
fn chunk(line: &[u8]) -> At {
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .map_or(line, |end| line.get(..end).unwrap_or_default());
    let size = std::str::from_utf8(digits).unwrap_or_default();
    match u64::from_str_radix(size, 16) {
        Ok(0) => At::Trailer,
        Ok(size) => At::Chunk(size.saturating_add(2)),
        Err(_) => At::Lost,
    }
}

/// A client's socket whose bytes [`Heads`] reads along.
pub struct WatchedIo<Io> {
    io: Io,
    heads: Heads,
}

impl<Io> WatchedIo<Io> {
    /// Watches `io`; keep a clone of `heads` for the service.
    pub const fn new(io: Io, heads: Heads) -> Self {
        Self { io, heads }
    }

    /// The socket.
    pub const fn inner(&self) -> &Io {
        &self.io
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for WatchedIo<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.heads.is_cut() {
            // The refusal closes the connection, and waits for no more.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.io).poll_read(cx, buffer));
        let fed = buffer.filled().get(before..).unwrap_or_default();
        if let Some(end) = this.heads.feed(fed) {
            // An empty line in place of the field that is one too many ends the head. There is room
            // for one byte at least: that of the field's beginning.
            buffer.set_filled(before + end);
            buffer.put_slice(b"\n");
        }
        Poll::Ready(read)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WatchedIo<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
