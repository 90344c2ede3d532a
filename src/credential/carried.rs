//! Carried: the text of a credential, as it stands in a request.
//!
//! A bearer token stays where it came: in the line that the whole request shares. What had to be
//! decoded or taken out of a cookie is a text of its own, which is wiped when it is dropped.

use std::fmt;

use http::HeaderValue;

use crate::telemetry::Redacted;

/// A token, or a session cookie's value; a secret.
#[derive(Clone)]
pub struct Carried(Place);

#[derive(Clone)]
enum Place {
    /// Behind so many bytes of a header line.
    Line(HeaderValue, usize),
    Own(Redacted),
}

impl Carried {
    /// What stands in `line` from `start` on, which must be text.
    pub(super) const fn in_line(line: HeaderValue, start: usize) -> Self {
        Self(Place::Line(line, start))
    }

    /// A text of its own.
    #[must_use]
    pub fn own(text: String) -> Self {
        Self(Place::Own(Redacted::new(text)))
    }

    /// The credential itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.expose_bytes()).unwrap_or_default()
    }

    /// Its bytes.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        match &self.0 {
            Place::Line(line, start) => line.as_bytes().get(*start..).unwrap_or_default(),
            Place::Own(text) => text.expose().as_bytes(),
        }
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_is_exposed_and_never_printed() {
        let line = HeaderValue::from_static("Bearer abc");
        let own = Carried::own("abc".to_owned());
        for carried in [Carried::in_line(line.clone(), 7), own] {
            assert_eq!(carried.expose(), "abc");
            assert_eq!(format!("{carried:?}"), "[redacted]");
        }
        assert_eq!(Carried::in_line(line, 99).expose(), "");
    }
}
