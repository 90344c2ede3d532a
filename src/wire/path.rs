//! The path, in the one form that is matched and forwarded.
//!
//! Percent-encoded unreserved characters are decoded once (RFC 3986, sections 2.3 and 6.2.2), the
//! escapes that remain are written in upper case, and nothing else is changed. What no two parties
//! agree on is refused in every reading: dot segments, control characters, invalid UTF-8. What some
//! apps need (`%2F`, `;`, `//`, …) is recorded as a form, which only a route can admit, together
//! with the path as the most eager decoder would read it: a route must cover both.

use std::borrow::Cow;

use http::uri::PathAndQuery;

use super::error::WireError;
use crate::config::PathAllowances;

/// How many times a path may be percent-encoded before nobody can say what it means.
const MAX_DEPTH: usize = 3;

const DOTS: WireError = WireError::Ambiguous("a dot segment in the path");
const DEEP: WireError = WireError::Ambiguous("a path that is percent-encoded too many times");
const CONTROL: WireError = WireError::Malformed("a control character in the path");
const RAW: WireError = WireError::Malformed("a character in the path that must be encoded");
const ESCAPE: WireError = WireError::Malformed("an invalid percent-encoding in the path");
const UTF8: WireError = WireError::Malformed("a path that is not UTF-8");
const SLASH: WireError = WireError::Malformed("a path that does not begin with a slash");

/// A path with one reading, or with a second one that is known.
#[derive(Debug, Clone)]
pub struct CanonicalPath {
    text: Text,
    forms: PathAllowances,
    alternative: Option<Box<str>>,
}

#[derive(Debug, Clone)]
enum Text {
    /// As it came.
    Wire(PathAndQuery),
    /// Rewritten.
    Own(Cow<'static, str>),
}

impl CanonicalPath {
    /// Reads the path of a request target.
    pub(super) fn read(target: &PathAndQuery) -> Result<Self, WireError> {
        let (text, forms, alternative) = canonical(target.path())?;
        let text = match text {
            // `http://host?query` has an empty path, which is "/" (RFC 9110, section 4.2.3).
            Cow::Borrowed(_) if !target.as_str().starts_with('/') => Text::Own(Cow::Borrowed("/")),
            Cow::Borrowed(_) => Text::Wire(target.clone()),
            Cow::Owned(text) => Text::Own(Cow::Owned(text)),
        };
        Ok(Self {
            text,
            forms,
            alternative,
        })
    }

    /// Reads a path that stands alone, as a configured one.
    pub fn parse(path: &str) -> Result<Self, WireError> {
        let (text, forms, alternative) = canonical(path)?;
        Ok(Self {
            text: Text::Own(Cow::Owned(text.into_owned())),
            forms,
            alternative,
        })
    }

    /// The canonical form: what is matched and what is forwarded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.text {
            Text::Wire(target) => target.path(),
            Text::Own(text) => text,
        }
    }

    /// The target as it came, where that is this path with this query to the byte.
    #[must_use]
    pub fn as_sent(&self, query: Option<&str>) -> Option<&PathAndQuery> {
        match &self.text {
            Text::Wire(target) if target.query() == query => Some(target),
            _ => None,
        }
    }

    /// Which forms with a second reading it holds.
    #[must_use]
    pub const fn forms(&self) -> PathAllowances {
        self.forms
    }

    /// The path as the most eager decoder reads it, where that is another path: every escape of a
    /// character that can stand raw decoded (and what was encoded twice, twice), `\` as `/`,
    /// `;parameters` and whatever follows `?` or `#` cut, `//` collapsed.
    #[must_use]
    pub fn alternative(&self) -> Option<&str> {
        self.alternative.as_deref()
    }

    /// The segments between the slashes: `/a/b` has `a` and `b`, `/` has one empty one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        let text = self.as_str();
        text.strip_prefix('/').unwrap_or(text).split('/')
    }
}

impl PartialEq for CanonicalPath {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for CanonicalPath {}

type Reading<'a> = (Cow<'a, str>, PathAllowances, Option<Box<str>>);

fn canonical(raw: &str) -> Result<Reading<'_>, WireError> {
    if is_plain(raw)? {
        return Ok((Cow::Borrowed(raw), PathAllowances::default(), None));
    }
    let text = decode_unreserved(raw)?;
    let forms = forms(&text);
    let deepest = deepest_reading(&text)?;
    let alternative = alternative(&deepest);
    let alternative = (alternative != *text).then(|| alternative.into_boxed_str());
    Ok((text, forms, alternative))
}

/// Whether the path is canonical at first sight; an error where it holds what is always refused.
fn is_plain(raw: &str) -> Result<bool, WireError> {
    if !raw.starts_with('/') {
        return Err(SLASH);
    }
    let mut plain = true;
    let mut previous = 0;
    for byte in raw.bytes() {
        match byte {
            b'/' | b'.' => plain &= previous != b'/',
            b'%' | b';' => plain = false,
            byte if stands_raw(byte) => {}
            byte if byte.is_ascii_control() => return Err(CONTROL),
            _ => return Err(RAW),
        }
        previous = byte;
    }
    Ok(plain)
}

/// RFC 3986, section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in a segment unencoded: RFC 3986's `pchar` without `;`, and what the URL standard
/// leaves alone in paths or servers have always accepted. Never `\`, `"`, `<`, `>`, `` ` ``, `#`,
/// a space or a byte that is not ASCII.
const fn stands_raw(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
        || matches!(byte, b'[' | b']' | b'{' | b'}' | b'|' | b'^')
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| {
        let digit = char::from(*bytes.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    Some(digit(0)? << 4 | digit(1)?)
}

fn push_escape(text: &mut String, byte: u8) {
    text.push('%');
    for nibble in [byte >> 4, byte & 0x0f] {
        let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        text.push(digit.to_ascii_uppercase());
    }
}

/// The canonical text: unreserved characters decoded once, every other escape in upper case.
fn decode_unreserved(raw: &str) -> Result<Cow<'_, str>, WireError> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            text.push(char::from(*byte));
            continue;
        }
        let value = hex_pair(tail).ok_or(ESCAPE)?;
        rest = tail.get(2..).unwrap_or_default();
        if value.is_ascii_control() {
            return Err(CONTROL);
        }
        if is_unreserved(value) {
            text.push(char::from(value));
        } else {
            push_escape(&mut text, value);
        }
    }
    Ok(if text == raw {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(text)
    })
}

fn forms(text: &str) -> PathAllowances {
    let twice = text
        .match_indices("%25")
        .any(|(at, _)| hex_pair(text.as_bytes().get(at + 3..).unwrap_or_default()).is_some());
    PathAllowances {
        encoded_slash: text.contains("%2F"),
        encoded_backslash: text.contains("%5C"),
        semicolon: text.contains(';'),
        double_slash: text.contains("//"),
        double_encoding: twice,
    }
}

/// Decodes every escape until none is left, and refuses on the way what no reading may hold.
fn deepest_reading(text: &str) -> Result<Vec<u8>, WireError> {
    let mut bytes = text.as_bytes().to_vec();
    refuse_dots(&bytes)?;
    for _ in 0..MAX_DEPTH {
        let decoded = decode_all(&bytes);
        let Ok(characters) = std::str::from_utf8(&decoded) else {
            return Err(UTF8);
        };
        if characters.chars().any(char::is_control) {
            return Err(CONTROL);
        }
        refuse_dots(&decoded)?;
        if decoded == bytes {
            return Ok(bytes);
        }
        bytes = decoded;
    }
    if decode_all(&bytes) == bytes {
        Ok(bytes)
    } else {
        Err(DEEP)
    }
}

fn decode_all(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match hex_pair(tail) {
            Some(value) if *byte == b'%' => {
                decoded.push(value);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => decoded.push(*byte),
        }
    }
    decoded
}

/// Whether `byte` ends what some server takes for a segment's name.
const fn ends_name(byte: u8) -> bool {
    matches!(byte, b';' | b'?' | b'#')
}

fn refuse_dots(bytes: &[u8]) -> Result<(), WireError> {
    let dots = bytes
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| {
            let name = segment.split(|byte| ends_name(*byte)).next();
            name.unwrap_or_default().trim_ascii()
        })
        .any(|name| matches!(name, b"." | b".."));
    if dots { Err(DOTS) } else { Ok(()) }
}

/// The deepest reading as a path that routes can be matched against.
fn alternative(deepest: &[u8]) -> String {
    let cut = deepest.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let path = cut.and_then(|cut| deepest.get(..cut)).unwrap_or(deepest);
    let mut text = String::with_capacity(path.len());
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next();
        let name = name.unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        text.push('/');
        for byte in name {
            if stands_raw(*byte) {
                text.push(char::from(*byte));
            } else {
                push_escape(&mut text, *byte);
            }
        }
    }
    if text.is_empty() || matches!(path.last(), Some(b'/' | b'\\')) {
        text.push('/');
    }
    text
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
