//! URL templates: `{tenant}`, `{user}` and `{lookup}` filled in as one component each.
//!
//! Everything but RFC 3986's unreserved characters is percent-encoded, so a value can neither end
//! its path segment nor begin a query. `.` and `..` cannot be encoded in a way that every server
//! leaves alone (RFC 3986, section 6.2.2.3), so nobody is asked about them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Tenant,
    User,
    Lookup,
}

impl Template {
    /// Reads a template; the error says what is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or("a { in the URL is not closed")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match name {
                "tenant" => Piece::Tenant,
                "user" => Piece::User,
                "lookup" => Piece::Lookup,
                other => return Err(format!("the URL has no place called {{{other}}}")),
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let Some(Piece::Text(first)) = pieces.first() else {
            return Err("the URL is empty".into());
        };
        let authority_and_path = first
            .strip_prefix("http://")
            .or_else(|| first.strip_prefix("https://"))
            .ok_or("the URL does not begin with http:// or https://")?;
        if !authority_and_path.contains('/') {
            return Err("the URL has a place in its host, or no path".into());
        }
        if !pieces.contains(&Piece::User) {
            return Err("the URL has no {user}, so everyone would get the same answer".into());
        }
        Ok(Self(pieces))
    }

    /// The URL for one question; `None` for values that no URL can carry unchanged.
    pub(super) fn fill(&self, tenant: &str, user: &str, lookup: &str) -> Option<String> {
        let mut url = String::new();
        for piece in &self.0 {
            let value = match piece {
                Piece::Text(text) => {
                    url.push_str(text);
                    continue;
                }
                Piece::Tenant => tenant,
                Piece::User => user,
                Piece::Lookup => lookup,
            };
            if matches!(value, "." | "..") {
                return None;
            }
            url.extend(utf8_percent_encode(value, ENCODED));
        }
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_place() {
        let template = Template::read("http://a/i/{tenant}/{user}?via={lookup}").unwrap();
        assert_eq!(
            template.fill("acme", "a/b?c#d", "x&y=z").unwrap(),
            "http://a/i/acme/a%2Fb%3Fc%23d?via=x%26y%3Dz"
        );
        assert_eq!(
            template.fill("é", "a@b%c d", "default").unwrap(),
            "http://a/i/%C3%A9/a%40b%25c%20d?via=default"
        );
        for dots in [".", ".."] {
            assert_eq!(template.fill(dots, "5", "default"), None);
            assert_eq!(template.fill("acme", dots, "default"), None);
        }
        assert!(template.fill("acme", "...", "default").is_some());
    }

    #[test]
    fn a_template_that_cannot_work_is_refused() {
        for text in [
            "",
            "/i/{user}",
            "ftp://a/{user}",
            "http://{tenant}/{user}",
            "http://{tenant}.a/{user}",
            "http://a",
            "http://a/i",
            "http://a/{tenant}",
            "http://a/{usr}",
            "http://a/{user",
        ] {
            assert!(Template::read(text).is_err(), "{text}");
        }
    }
}
