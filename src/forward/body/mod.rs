//! Bodies: streamed both ways under limits and deadlines, never held.
//!
//! A body that ends early must never look complete to whoever reads it: every fault is an error
//! frame, which breaks the message on the wire (no last chunk, a reset stream). A body is polled
//! only when the other side can take more, so back-pressure reaches the sender.

mod idle;
mod request;
mod response;

pub use request::{BodyWatch, RequestBody, UploadRules, frame};
pub use response::{BodyEnd, Cut, CutSignal, Outcome, ResponseBody, UpstreamSource, cut};

use crate::reason::Reason;

/// hyper tells no more than that the peer is gone.
impl From<hyper::Error> for BodyFault {
    fn from(_: hyper::Error) -> Self {
        Self::UpstreamGone
    }
}

/// Why a body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The request body exceeds the limit.
    #[error("the request body exceeds the limit")]
    TooLarge,
    /// The client sent nothing for too long.
    #[error("the client sent nothing for too long")]
    ClientTimedOut,
    /// The client's chunks or trailers cannot be read.
    #[error("the client's body is malformed")]
    Malformed,
    /// The client, or the request, went away.
    #[error("the client went away")]
    ClientGone,
    /// The upstream sent nothing for too long.
    #[error("the upstream sent nothing for too long")]
    UpstreamTimedOut,
    /// The upstream broke off.
    #[error("the upstream broke off")]
    UpstreamGone,
    /// The stream's lease ended.
    #[error("the stream was ended")]
    Cut,
}

impl BodyFault {
    /// The machine-readable code, where the fault is still in time to be one.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooLarge => Reason::BodyTooLarge,
            Self::Malformed => Reason::MalformedRequest,
            Self::ClientTimedOut | Self::ClientGone => Reason::RequestTimeout,
            Self::UpstreamTimedOut => Reason::UpstreamTimeout,
            Self::UpstreamGone => Reason::UpstreamProtocol,
            Self::Cut => Reason::InternalError,
        }
    }
}
