//! Errors: why the directory gave no answer.
//!
//! "There is no such user" is an answer ([`Live::Unknown`](super::Live::Unknown)), never an error,
//! and an error is never remembered as one. What stands in here is for the log; a client sees the
//! [`Reason`] alone.

use std::fmt;
use std::sync::Arc;

use crate::reason::Reason;

/// Why the directory gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The source cannot be asked, answered too late, or gave an answer that cannot be used.
    #[error("the directory gave no usable answer: {0}")]
    Unavailable(SourceError),
    /// More look-ups wait than `directory.limits.queue` admits.
    #[error("too many directory look-ups are waiting")]
    Overloaded,
    /// The source says that there is no such tenant.
    #[error("the directory has no such tenant")]
    TenantUnknown,
}

impl DirectoryError {
    /// The reason of the decision.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            // A full queue is told as what it means to the client: ask again later.
            Self::Unavailable(_) | Self::Overloaded => Reason::DirectoryUnavailable,
            Self::TenantUnknown => Reason::TenantUnknown,
        }
    }
}

/// What went wrong at the source, for the log. Cheap to copy, since every waiter gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceError(Arc<str>);

impl SourceError {
    pub(super) fn new(what: impl Into<Arc<str>>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Why one look-up failed, as it is handed to everyone who waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The source failed.
    Source(SourceError),
    /// The queue is full; asking again at once would meet the same queue.
    Overloaded,
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<Failure> for DirectoryError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Source(error) => Self::Unavailable(error),
            Failure::Overloaded => Self::Overloaded,
        }
    }
}
