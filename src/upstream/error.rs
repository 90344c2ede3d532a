//! What can go wrong between the gateway and an upstream, in words for the log.
//!
//! Nothing of an error's text is meant for a client: it names hosts and addresses.

use std::error::Error;
use std::fmt::Write as _;

use crate::reason::Reason;

/// Why an upstream gave no response that may be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No server could be connected to; nothing of the request was sent.
    #[error("no upstream server could be reached: {0}")]
    Unreachable(String),
    /// A deadline towards the upstream passed.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// The upstream answered what it must not, or hung up instead of answering.
    #[error("the upstream broke the protocol: {0}")]
    Protocol(String),
    /// The request's body failed or stalled on the client's side.
    #[error("the request body ended early")]
    RequestBody,
    /// A defect of the gateway.
    #[error("the request could not be sent")]
    Internal,
}

impl UpstreamError {
    /// The code of this error. Whoever watches the request body may know a better one for
    /// [`UpstreamError::RequestBody`] (too large, too slow).
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) => Reason::UpstreamUnreachable,
            Self::Timeout => Reason::UpstreamTimeout,
            Self::Protocol(_) => Reason::UpstreamProtocol,
            Self::RequestBody => Reason::RequestTimeout,
            Self::Internal => Reason::InternalError,
        }
    }

    /// A protocol error out of hyper's, with its causes.
    pub(super) fn broken(error: &hyper::Error) -> Self {
        Self::Protocol(with_causes(error))
    }
}

/// An error and its causes on one line.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Writing into a String cannot fail.
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
