//! JSON as the audit line needs it: one flat object after another, appended to a buffer.
//!
//! Written by hand because every request writes one: the generic serialiser costs several times as
//! much. Texts are escaped as RFC 8259, section 7 asks, so that no field can end its string or its
//! line.

/// An object that is being written. [`Object::end`] closes it.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    /// Where its first member begins.
    begin: usize,
}

/// A member's name as it stands before a text, with the comma, quotes and colon, and the text's first
/// quote.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) &'static [u8]);

/// The [`Key`] of this name.
macro_rules! key {
    ($name:literal) => {
        $crate::audit::json::Key(concat!(",\"", $name, "\":\"").as_bytes())
    };
}
pub(super) use key;

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        let begin = out.len();
        Self { out, begin }
    }

    /// A text.
    pub(super) fn text(&mut self, key: Key, value: &str) {
        self.text_by(key, |out| push_escaped_text(out, value));
    }

    /// A text that is known to have nothing to escape: words of ours, or what was read as a token.
    pub(super) fn plain(&mut self, key: Key, value: &str) {
        debug_assert!(is_plain(value.as_bytes()), "{value:?}");
        self.text_by(key, |out| out.extend_from_slice(value.as_bytes()));
    }

    /// A text that `write` appends, with what needs it escaped.
    pub(super) fn text_by(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let out = self.quoted(key);
        write(out);
        out.push(b'"');
    }

    /// A text, where there is one.
    pub(super) fn maybe(&mut self, key: Key, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// A number.
    pub(super) fn number(&mut self, key: Key, value: u64) {
        push_number(self.bare(key), value);
    }

    /// `true`, or nothing at all.
    pub(super) fn flag(&mut self, key: Key, value: bool) {
        if value {
            self.bare(key).extend_from_slice(b"true");
        }
    }

    /// Whatever `write` appends, which must be one JSON value.
    pub(super) fn value(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.bare(key));
    }

    /// Closes the object.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// Begins a text.
    fn quoted(&mut self, Key(key): Key) -> &mut Vec<u8> {
        // The first member has no comma before it.
        let first = usize::from(self.out.len() == self.begin);
        self.out
            .extend_from_slice(key.get(first..).unwrap_or_default());
        self.out
    }

    /// Begins any other value.
    fn bare(&mut self, key: Key) -> &mut Vec<u8> {
        let out = self.quoted(key);
        out.pop();
        out
    }
}

/// Whether a text stands in a JSON string as it is.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "a branch for each byte costs more than all three comparisons"
)]
fn is_plain(text: &[u8]) -> bool {
    // Without a way out of the loop, so that the processor can take many bytes at once.
    text.iter().fold(true, |plain, byte| {
        plain & (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\')
    })
}

/// Appends what stands between a string's quotes.
fn push_escaped_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        for byte in bytes {
            push_escaped(out, *byte);
        }
    }
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        byte if byte < 0x20 => {
            out.extend_from_slice(b"\\u00");
            for nibble in [byte >> 4, byte & 0x0f] {
                out.extend(DIGITS.get(usize::from(nibble)));
            }
        }
        byte => out.push(byte),
    }
}

/// Appends a number in decimal.
fn push_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    let unused = digits.len() - used;
    out.extend_from_slice(digits.get(unused..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f7_every_text_is_written_as_json_writes_it() {
        let all: String = (0..=0x2030).filter_map(char::from_u32).collect();
        for text in [
            "",
            "plain",
            "a\"b\\c",
            "\u{1b}]0;x\u{7}\r\n\t\u{8}\u{c}",
            "é日本\u{2028}",
            &all,
        ] {
            let mut out = Vec::new();
            let mut object = Object::begin(&mut out);
            object.text(key!("a"), text);
            object.end();
            let written = serde_json::json!({ "a": text });
            assert_eq!(out, written.to_string().into_bytes(), "{text:?}");
        }
    }

    #[test]
    fn numbers_and_objects_are_written_as_json_writes_them() {
        for number in [0, 7, 10, 65_535, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.maybe(key!("a"), None);
        object.plain(key!("b"), "x");
        object.flag(key!("c"), false);
        object.flag(key!("d"), true);
        object.number(key!("e"), 5);
        object.value(key!("f"), |out| Object::begin(out).end());
        object.end();
        assert_eq!(out, br#"{"b":"x","d":true,"e":5,"f":{}}"#);
    }
}
