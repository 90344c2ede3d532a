//! Forward: what the upstream is told, and what the client is told back.
//!
//! A request passes three types here. [`RawRequest`](crate::wire::RawRequest) is what the client sent;
//! [`SanitizedRequest`] proves that every reserved name and its aliases, every hop-by-hop field and
//! every nominated one is gone and that the forwarding fields are rebuilt; [`ForwardRequest`] proves
//! that it was also granted. Nothing strips after identity is written, and only a
//! [`ForwardRequest`] can be sent.

pub mod body;
mod forwarder;
pub(crate) mod guard;
mod hop;
mod identity;
mod minted;
mod names;
mod places;
mod proof;
mod request;
mod trail;

use crate::reason::Reason;
use crate::token::MintError;

pub(crate) use body::cut;
pub use body::{BodyFault, BodyWatch, RequestBody, ResponseBody, UploadRules};
pub use forwarder::Forwarder;
pub use minted::Minted;
pub use names::Reserved;
pub use proof::reissue_source;
pub use request::{ForwardParts, ForwardRequest, SanitizedRequest};

/// Why a granted request could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// An identity value cannot stand in a header.
    #[error(transparent)]
    Identity(#[from] identity::Unsafe),
    /// A fresh token cannot stand in its place.
    #[error(transparent)]
    Place(#[from] places::Misfit),
    /// A token could not be minted.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The target cannot be written.
    #[error("the request target cannot be written")]
    Target,
}

impl ForwardError {
    /// The reason that the client is told.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            // An id that is no integer where the app's tokens have integers is as unfit as one that
            // fits into no header.
            Self::Identity(_) | Self::Mint(MintError::NotAnInteger(_)) => Reason::IdentityUnsafe,
            // Its last fraction of a second, or within the leeway at the endpoint.
            Self::Mint(MintError::Expired) => Reason::TokenExpired,
            Self::Mint(MintError::SessionExpired) => Reason::SessionExpired,
            Self::Place(_) | Self::Mint(_) | Self::Target => Reason::InternalError,
        }
    }
}
