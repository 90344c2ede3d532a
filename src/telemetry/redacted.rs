//! Redacted: a secret that cannot be printed and is wiped when dropped.

use std::fmt;
use zeroize::Zeroize;

/// A secret text: a key, a password, a token. Debug prints `[redacted]`; there is no Display.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted(String);

impl Redacted {
    /// Takes a secret in.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
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
