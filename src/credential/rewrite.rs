//! Rewriting the places of credentials on the way to the upstream.
//!
//! Each function removes one credential or puts another in its place, and leaves every other byte
//! as it was. Names are compared as the most generous reader behind us would compare them
//! (percent-decoded, trimmed), so that what is removed is removed for everybody.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The query without this parameter; `None` when nothing is left.
#[must_use]
pub fn query_without(query: &str, parameter: &str) -> Option<String> {
    let kept: Vec<&str> = parameters(query)
        .filter(|found| !found.is_named(parameter))
        .map(|found| found.raw)
        .collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// The query with this parameter's value replaced, where it stands.
#[must_use]
pub fn query_with(query: &str, parameter: &str, token: &str) -> String {
    let parts: Vec<Cow<'_, str>> = parameters(query)
        .map(|found| {
            if found.is_named(parameter) {
                Cow::Owned(format!("{}={token}", found.name))
            } else {
                Cow::Borrowed(found.raw)
            }
        })
        .collect();
    parts.join("&")
}

/// The Cookie value (RFC 6265, section 4.2.1) without this cookie; `None` when nothing is left.
#[must_use]
pub fn cookie_without(cookies: &[u8], name: &str) -> Option<Vec<u8>> {
    rewrite_cookie(cookies, name, None)
}

/// The Cookie value with this cookie's value replaced, where it stands; `None` when the value is
/// empty.
#[must_use]
pub fn cookie_with(cookies: &[u8], name: &str, token: &str) -> Option<Vec<u8>> {
    rewrite_cookie(cookies, name, Some(token))
}

/// The offered subprotocols as one header value, without those that begin with `prefix`; `None`
/// when none is left.
#[must_use]
pub fn protocols_without(offered: &[&str], prefix: &str) -> Option<String> {
    let kept: Vec<&str> = offered
        .iter()
        .copied()
        .filter(|offered| !offered.starts_with(prefix))
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

/// The offered subprotocols as one header value, with the token behind `prefix` replaced.
#[must_use]
pub fn protocols_with(offered: &[&str], prefix: &str, token: &str) -> String {
    let parts: Vec<Cow<'_, str>> = offered
        .iter()
        .map(|offered| {
            if offered.starts_with(prefix) {
                Cow::Owned(format!("{prefix}{token}"))
            } else {
                Cow::Borrowed(*offered)
            }
        })
        .collect();
    parts.join(", ")
}

/// One parameter of a query, as it stands there.
pub(super) struct Parameter<'a> {
    pub(super) raw: &'a str,
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

impl Parameter<'_> {
    pub(super) fn is_named(&self, name: &str) -> bool {
        decoded(self.name).is_some_and(|decoded| decoded == name)
    }
}

/// The parameters of a query (URL standard, `application/x-www-form-urlencoded` parser).
pub(super) fn parameters(query: &str) -> impl Iterator<Item = Parameter<'_>> {
    query.split('&').map(|raw| {
        let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
        Parameter { raw, name, value }
    })
}

/// Form-decoded text; `None` when it is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .ok()
        .map(|decoded| Cow::Owned(decoded.into_owned()))
}

fn rewrite_cookie(cookies: &[u8], name: &str, token: Option<&str>) -> Option<Vec<u8>> {
    let mut kept: Vec<Cow<'_, [u8]>> = Vec::new();
    for pair in cookies.split(|b| *b == b';') {
        let cut = pair.iter().position(|b| *b == b'=');
        let named = cut
            .and_then(|cut| pair.get(..cut))
            .is_some_and(|found| trimmed(found) == name.as_bytes());
        match token {
            _ if !named => kept.push(Cow::Borrowed(pair)),
            None => {}
            Some(token) => {
                let space: &[u8] = if kept.is_empty() { b"" } else { b" " };
                kept.push(Cow::Owned(
                    [space, name.as_bytes(), b"=", token.as_bytes()].concat(),
                ));
            }
        }
    }
    let joined = kept.join(&b';');
    // The first pair has no space before it; the one that follows a removed first pair has.
    let start = joined
        .iter()
        .position(|b| !matches!(b, b' ' | b'\t'))
        .unwrap_or(joined.len());
    joined
        .get(start..)
        .filter(|rest| rest.iter().any(|b| !matches!(b, b' ' | b'\t' | b';')))
        .map(<[u8]>::to_vec)
}

/// Without what Python's `str.strip` takes for white space in Latin-1, since WSGI apps compare
/// cookie names after it.
fn trimmed(name: &[u8]) -> &[u8] {
    let space = |b: &u8| matches!(b, 0x09..=0x0D | 0x1C..=0x20 | 0x85 | 0xA0);
    let start = name.iter().position(|b| !space(b)).unwrap_or(name.len());
    let end = name
        .iter()
        .rposition(|b| !space(b))
        .map_or(start, |at| at + 1);
    name.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parameters_keep_their_bytes() {
        let query = "a=%41+b&token=x.y.z&&b&c=";
        assert_eq!(query_without(query, "token").unwrap(), "a=%41+b&&b&c=");
        assert_eq!(query_with(query, "token", "new"), "a=%41+b&token=new&&b&c=");
        assert_eq!(query_without("token=x", "token"), None);
        assert_eq!(query_without("%74oken=x&a=1", "token").unwrap(), "a=1");
        assert_eq!(query_without("tokens=x", "token").unwrap(), "tokens=x");
    }

    #[test]
    fn other_cookies_keep_their_bytes() {
        let text = |found: Option<Vec<u8>>| found.map(|bytes| String::from_utf8(bytes).unwrap());
        let cookies = b"a=\"1 2\"; t=x.y; b=3=4;c";
        assert_eq!(
            text(cookie_without(cookies, "t")).unwrap(),
            "a=\"1 2\"; b=3=4;c"
        );
        assert_eq!(
            text(cookie_with(cookies, "t", "new")).unwrap(),
            "a=\"1 2\"; t=new; b=3=4;c"
        );
        assert_eq!(text(cookie_without(b"t=1; a=2", "t")).unwrap(), "a=2");
        assert_eq!(
            text(cookie_with(b"t=1; a=2", "t", "n")).unwrap(),
            "t=n; a=2"
        );
        assert_eq!(text(cookie_without(b"t=1", "t")), None);
        assert_eq!(text(cookie_without(b" t =1;\xA0t=2;", "t")), None);
        assert_eq!(
            text(cookie_without(b"T=1; tt=2", "t")).unwrap(),
            "T=1; tt=2"
        );
        assert_eq!(cookie_without(b"a=\xff; t=1", "t").unwrap(), b"a=\xff");
    }

    #[test]
    fn other_subprotocols_stay_offered() {
        let offered = ["chat", "bearer.x.y", "v2"];
        assert_eq!(protocols_without(&offered, "bearer.").unwrap(), "chat, v2");
        assert_eq!(
            protocols_with(&offered, "bearer.", "new"),
            "chat, bearer.new, v2"
        );
        assert_eq!(protocols_without(&["bearer.x"], "bearer."), None);
    }
}
