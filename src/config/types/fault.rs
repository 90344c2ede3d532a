//! Where a value stands in the file, and what is wrong there.
//!
//! Every section keeps its [`KeyPath`], so that a room that finds a mistake later (a key that is too
//! short, a certificate that does not fit) can say where it stands in the file.

use std::fmt;
use std::sync::Arc;

/// Where a value stands in the file, as `issuers[0].secret`; empty for the file as a whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPath(Arc<str>);

impl KeyPath {
    /// The whole file.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// The path of a member of this mapping.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        if self.0.is_empty() {
            Self(Arc::from(key))
        } else {
            Self(format!("{}.{key}", self.0).into())
        }
    }

    /// The path of an element of this sequence.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0).into())
    }

    /// The path that reads like this.
    pub(in crate::config) fn from_text(path: &str) -> Self {
        Self(Arc::from(path))
    }

    /// Whether this is `outer` or stands inside it.
    #[must_use]
    pub fn is_within(&self, outer: &Self) -> bool {
        self.0.strip_prefix(&*outer.0).is_some_and(|rest| {
            outer.0.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
        })
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One mistake in the configuration: where it is, what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands.
    pub at: KeyPath,
    /// What is wrong, as a sentence without a full stop.
    pub problem: String,
    /// What would be right, as a sentence without a full stop.
    pub remedy: String,
}

impl Fault {
    /// A fault at `at`.
    #[must_use]
    pub fn new(at: &KeyPath, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at: at.clone(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}
