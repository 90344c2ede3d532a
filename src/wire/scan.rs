//! Scan: what the bytes of an HTTP/1 connection say, message by message.
//!
//! It frames as hyper does and judges nothing but what hyper hides ([`Heads`]). Where it loses track no
//! further request of the connection is believed.

use super::error::WireError;
use super::heads::Heads;

/// Most heads that can be waiting for their request to be handled.
const MAX_WAITING: usize = 64 * 1024;

/// What hyper hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
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
    pub(super) const fn error(self) -> WireError {
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

/// Reads along with the parser.
pub(super) struct Scanner {
    at: At,
    heads: Heads,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    head: Head,
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
    /// Within a head that was refused.
    Cut,
}

impl Scanner {
    /// A scanner that tells `heads` what it sees.
    pub(super) fn new(heads: Heads) -> Self {
        Self {
            at: At::Start,
            heads,
            line: Vec::new(),
            head: Head::default(),
        }
    }

    /// Whether nothing more is to be read. What became a tunnel meanwhile goes on.
    pub(super) fn is_cut(&self) -> bool {
        self.at == At::Cut && !self.heads.is_stopped()
    }

    /// Reads along; gives where the bytes must end for the parser, if they must.
    pub(super) fn feed(&mut self, all: &[u8]) -> Option<usize> {
        if self.heads.is_stopped() {
            self.line = Vec::new();
            return None;
        }
        let end = self.read(all);
        if self.at == At::Lost {
            self.heads.lose();
        }
        end
    }

    fn read(&mut self, all: &[u8]) -> Option<usize> {
        let mut bytes = all;
        while let Some(first) = bytes.first() {
            bytes = match self.at {
                At::Lost | At::Cut => return None,
                At::Header if self.is_full() && !matches!(first, b'\r' | b'\n') => {
                    self.heads.end(Some(Fault::TooManyFields));
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
    fn is_full(&self) -> bool {
        self.head.fields >= self.heads.most_fields() && self.line.is_empty()
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
            if self.line.len() > self.heads.longest() {
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
            At::Trailer | At::Body(_) | At::Chunk(_) | At::Lost | At::Cut => {}
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
        if value_of(line, b"transfer-encoding").is_some() {
            self.head.coded = true;
        } else if let Some(value) = value_of(line, b"content-length") {
            let value = value.trim_ascii();
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
        if self.heads.waiting() >= MAX_WAITING {
            self.at = At::Lost;
            return;
        }
        self.heads.end(two.or(head.fault));
        self.at = match head.length {
            _ if head.coded => At::ChunkSize,
            None | Some(0) => At::Start,
            Some(length) => At::Body(length),
        };
    }
}

/// What stands behind the colon of a line of this field.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len() + 1)?;
    let named = start.strip_suffix(b":")?.eq_ignore_ascii_case(name);
    named.then_some(value)
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
