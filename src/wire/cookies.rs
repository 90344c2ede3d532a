//! Cookies, read as Django reads them (`django.http.cookie.parse_cookie`).
//!
//! The app behind us decides by its own parser which cookie it sees; ours must see the same one.
//! All `Cookie` lines are one, joined by `"; "` (RFC 9113, section 8.2.3); it is split at every
//! `;`, quotes or not; a crumb without `=` has the empty name. Where Django takes the last of two
//! cookies with one name, other apps take the first: two different values are an error here.

use std::borrow::Cow;
use std::fmt;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Two cookies of one name with different values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two cookies of one name with different values")]
pub struct DuplicateCookie;

/// What becomes of one cookie on its way to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieEdit<'a> {
    /// As the client sent it.
    Keep,
    /// Nothing.
    Remove,
    /// This value in its place.
    Replace(&'a str),
}

/// The cookies of a request.
#[derive(Clone, Default)]
pub struct Cookies {
    line: Option<HeaderValue>,
}

impl Cookies {
    /// Reads all `Cookie` lines as one.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(COOKIE).iter();
        let Some(first) = lines.next() else {
            return Self::default();
        };
        let mut joined = None;
        for line in lines {
            let joined = joined.get_or_insert_with(|| first.as_bytes().to_vec());
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(line.as_bytes());
        }
        let line = match joined {
            None => Some(first.clone()),
            // Header values joined by "; " are a header value.
            Some(joined) => HeaderValue::from_bytes(&joined).ok(),
        };
        Self { line }
    }

    /// The value of the cookie with this name, unquoted; cookies that repeat one value are one.
    pub fn one(&self, name: &str) -> Result<Option<Cow<'_, str>>, DuplicateCookie> {
        let mut found: Option<Cow<'_, str>> = None;
        for crumb in self.crumbs().filter(|crumb| crumb.is_called(name)) {
            let value = unquoted(crumb.value);
            match &found {
                Some(earlier) if *earlier != value => return Err(DuplicateCookie),
                _ => found = Some(value),
            }
        }
        Ok(found)
    }

    /// Whether there is any cookie at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.line.is_none()
    }

    /// All crumbs in one header value, as the client sent them.
    #[must_use]
    pub fn joined(&self) -> Option<&HeaderValue> {
        self.line.as_ref()
    }

    /// One header value in which each named cookie has been kept, removed or replaced; `None` when
    /// nothing is left. A cookie that stands twice is replaced once.
    #[must_use]
    pub fn edited(&self, edits: &[(&str, CookieEdit<'_>)]) -> Option<HeaderValue> {
        let mut line = Vec::new();
        let mut replaced: Vec<&str> = Vec::new();
        for crumb in self.crumbs() {
            let edit = edits.iter().find(|(name, _)| crumb.is_called(name));
            let (name, value) = match edit {
                None | Some((_, CookieEdit::Keep)) => (None, crumb.text),
                Some((_, CookieEdit::Remove)) => continue,
                Some((name, CookieEdit::Replace(_))) if replaced.contains(name) => continue,
                Some((name, CookieEdit::Replace(value))) => {
                    replaced.push(name);
                    (Some(name), value.as_bytes())
                }
            };
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            if let Some(name) = name {
                line.extend_from_slice(name.as_bytes());
                line.push(b'=');
            }
            line.extend_from_slice(value);
        }
        if line.is_empty() {
            return None;
        }
        HeaderValue::from_bytes(&line).ok()
    }

    fn crumbs(&self) -> impl Iterator<Item = Crumb<'_>> {
        self.line
            .as_ref()
            .map(HeaderValue::as_bytes)
            .unwrap_or_default()
            .split(|byte| *byte == b';')
            .map(Crumb::read)
            .filter(|crumb| !crumb.text.is_empty())
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are secrets.
        write!(f, "Cookies({})", self.crumbs().count())
    }
}

/// One `name=value` between two semicolons.
struct Crumb<'a> {
    text: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Crumb<'a> {
    fn read(text: &'a [u8]) -> Self {
        let text = text.trim_ascii();
        let equals = text.iter().position(|byte| *byte == b'=');
        let (name, value) = equals
            .and_then(|at| text.split_at_checked(at))
            .map_or((&[][..], text), |(name, value)| {
                (name, value.get(1..).unwrap_or_default())
            });
        Self {
            text,
            name: name.trim_ascii(),
            value: value.trim_ascii(),
        }
    }

    /// Whether an app could read this crumb under `name`. Python strips every Unicode space off a
    /// name, of which a header can only hold those that are not ASCII; so what is not ASCII at its
    /// ends does not make another name.
    fn is_called(&self, name: &str) -> bool {
        let outer = |byte: &u8| byte.is_ascii_whitespace() || !byte.is_ascii();
        if self.name == name.as_bytes() {
            return true;
        }
        let Some(start) = self.name.iter().position(|byte| !outer(byte)) else {
            return false;
        };
        let end = self.name.iter().rposition(|byte| !outer(byte));
        end.and_then(|end| self.name.get(start..=end)) == Some(name.as_bytes())
    }
}

/// A value as `http.cookies._unquote` reads it: without its double quotes, `\"` and `\\` undone,
/// and `\ooo` with the octal number of a character.
fn unquoted(value: &[u8]) -> Cow<'_, str> {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    let Some(inner) = inner else {
        return latin1(value);
    };
    if !inner.contains(&b'\\') {
        return latin1(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    loop {
        rest = match rest {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                rest @ ..,
            ] => {
                text.push(char::from((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0')));
                rest
            }
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                text.push(char::from(*byte));
                rest
            }
            [] => return Cow::Owned(text),
        };
    }
}

/// Header bytes as text: one character a byte, as WSGI and ASGI servers hand them on. A credential
/// that is not ASCII is then malformed rather than absent.
fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(lines: &[&[u8]]) -> Cookies {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        Cookies::read(&headers)
    }

    fn one(line: &[u8], name: &str) -> Option<String> {
        cookies(&[line]).one(name).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn e9_cookies_are_read_as_django_reads_them() {
        for (line, name, value) in [
            (&b"a=1; b=2"[..], "b", Some("2")),
            (b"a=1;b=2", "b", Some("2")),
            (b"  a = 1 ;", "a", Some("1")),
            (b"a=b=c", "a", Some("b=c")),
            (b"a=", "a", Some("")),
            (b"a", "a", None),
            (b"a", "", Some("a")),
            (b"=sessionid=x", "sessionid", None),
            (b"=sessionid=x", "", Some("sessionid=x")),
            (b"Sessionid=x", "sessionid", None),
            (b"$Version=1; a=2", "a", Some("2")),
            (b"a=\"x;y\"", "a", Some("\"x")),
            (b"a=\"x y\"", "a", Some("x y")),
            (b"a=\"x\\\"y\"", "a", Some("x\"y")),
            (b"a=\"\\101\\012\"", "a", Some("A\n")),
            (b"a=\"\\401\"", "a", Some("401")),
            (b"a=\"\\\\\"", "a", Some("\\")),
            (b"a=\"", "a", Some("\"")),
            (b"a=\"\"", "a", Some("")),
            (b"", "a", None),
            (b";;;", "", None),
        ] {
            assert_eq!(one(line, name).as_deref(), value, "{line:?}");
        }
    }

    #[test]
    fn e9_one_name_with_two_values_is_an_error() {
        for line in [
            &b"sessionid=evil; sessionid=good"[..],
            b"sessionid=good; a=b; sessionid=",
            b"sessionid=good; \xa0sessionid=evil",
            b"sessionid=good; sessionid\xc2\xa0=evil",
        ] {
            assert_eq!(
                cookies(&[line]).one("sessionid"),
                Err(DuplicateCookie),
                "{line:?}"
            );
        }
        assert_eq!(
            one(b"sessionid=good; sessionid=\"good\"", "sessionid").as_deref(),
            Some("good")
        );
    }

    #[test]
    fn b20_crumbs_are_one_header() {
        let cookies = cookies(&[b"a=1", b"b=2", b"c=3"]);
        assert_eq!(cookies.joined().unwrap(), "a=1; b=2; c=3");
        assert_eq!(cookies.one("c").unwrap().as_deref(), Some("3"));
    }

    #[test]
    fn a_value_that_is_not_ascii_is_present() {
        assert_eq!(one(b"a=x\xe9", "a").as_deref(), Some("x\u{e9}"));
    }

    #[test]
    fn named_cookies_are_removed_or_replaced_and_the_others_untouched() {
        let cookies = cookies(&[b"a=1; token=x; \"odd\"; token=x; \xa0token=y", b"b=2"]);
        assert_eq!(
            cookies.edited(&[("token", CookieEdit::Remove)]).unwrap(),
            "a=1; \"odd\"; b=2"
        );
        assert_eq!(
            cookies
                .edited(&[
                    ("token", CookieEdit::Replace("new")),
                    ("b", CookieEdit::Remove)
                ])
                .unwrap(),
            "a=1; token=new; \"odd\""
        );
        let all = [
            ("a", CookieEdit::Remove),
            ("token", CookieEdit::Remove),
            ("b", CookieEdit::Remove),
            ("", CookieEdit::Remove),
        ];
        assert_eq!(cookies.edited(&all), None);
    }
}
