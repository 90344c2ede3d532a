//! Redacted: a secret that cannot be printed and is wiped when dropped.

use std::fmt;
use zeroize::Zeroize;

/// A secret text: a key, a password, a token. Debug prints `[redacted]`; there is no Display.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted(Box<str>);

impl Redacted {
    /// Takes a secret in.
    #[must_use]
    pub fn new(mut secret: String) -> Self {
        if secret.len() == secret.capacity() {
            return Self(secret.into_boxed_str());
        }
        // To shrink it in place would leave a copy of it behind.
        let text = Box::from(secret.as_str());
        secret.zeroize();
        Self(text)
    }

    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Redacted {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_was_taken_in_and_not_shown() {
        let mut with_room = String::with_capacity(100);
        with_room.push_str("s3cret");
        for text in [String::from("s3cret"), with_room] {
            let secret = Redacted::new(text);
            assert_eq!(secret.expose(), "s3cret");
            assert_eq!(format!("{secret:?}"), "[redacted]");
        }
    }
}
