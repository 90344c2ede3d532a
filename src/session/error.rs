//! Errors: why a session proves nobody.

use crate::reason::Reason;

/// Why a session is refused. The text is for logs; it never holds what the session says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// No store has a session of this key.
    #[error("there is no such session")]
    Unknown,
    /// Its time is over.
    #[error("the session has expired")]
    Expired,
    /// It is not signed with any of the secrets.
    #[error("the session's signature does not verify")]
    Signature,
    /// It is not what Django writes.
    #[error("the session cannot be read: {0}")]
    Unreadable(&'static str),
    /// It names a user, but what ties it to the user is missing.
    #[error("the session names a user without a backend or a hash")]
    Untied,
    /// Its hash is not that of the live password: changed since, or never this user's.
    #[error("the session's hash is not that of the live password")]
    Hash,
    /// The live record has no password column to compare with.
    #[error("the look-up gives no `session_auth` to compare the session's hash with")]
    NoPassword,
}

impl SessionError {
    /// The reason of the refusal.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::SessionExpired,
            Self::Unknown
            | Self::Signature
            | Self::Unreadable(_)
            | Self::Untied
            | Self::Hash
            | Self::NoPassword => Reason::SessionInvalid,
        }
    }
}
