//! Denials: why a request may not act as anybody.

use crate::directory::DirectoryError;
use crate::reason::Reason;
use crate::route::TenantError;
use crate::session::SessionError;
use crate::token::TokenError;

/// Why a request was refused. What the client is told is [`Denial::reason`]; the text is for logs.
#[derive(Debug, thiserror::Error)]
pub enum Denial {
    /// A member route, and no credential.
    #[error("the route needs a credential and the request carries none")]
    CredentialMissing,
    /// A token does not verify.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A session is dead; the index is its credential's.
    #[error("{0}")]
    Session(SessionError, usize),
    /// A session becomes a bearer token, and its CSRF token is absent or wrong.
    #[error("the CSRF token is absent or wrong, or the request comes from another origin")]
    CsrfFailed,
    /// Two credentials name two identities.
    #[error("two credentials name two identities")]
    CredentialConflict,
    /// A cookie came from an origin that may not use it.
    #[error("a credential that rests on a cookie came from an origin that may not use it")]
    OriginNotAllowed,
    /// The tenant cannot be had.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// The token speaks for another tenant, or for none where it must say which.
    #[error("the token does not speak for the request's tenant")]
    TenantMismatch,
    /// The live record cannot be had.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The tenant has no such user.
    #[error("the tenant has no such user")]
    UserUnknown,
    /// The user is deactivated.
    #[error("the user is deactivated")]
    UserInactive,
    /// The account is deactivated.
    #[error("the account is deactivated")]
    AccountInactive,
    /// The token is older than `tokens_valid_after`, or was revoked.
    #[error("the token was made before the user's tokens_valid_after, or was revoked")]
    TokenRevoked,
    /// The token's account is not the live one.
    #[error("the token's account is not the live one")]
    AccountMismatch,
    /// The user belongs to no account.
    #[error("the user belongs to no account")]
    AccountMissing,
    /// The user lacks the route's roles or attributes.
    #[error("the user has none of the roles, or not the attributes, that the route asks for")]
    RoleRequired,
    /// An id or role cannot stand in a header.
    #[error("an id or role of the live record cannot stand in a header")]
    IdentityUnsafe,
}

impl Denial {
    /// The reason that the client is told.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::CredentialMissing => Reason::CredentialMissing,
            Self::Token(error) => error.reason(),
            Self::Session(error, _) => error.reason(),
            Self::CsrfFailed => Reason::CsrfFailed,
            Self::CredentialConflict => Reason::CredentialConflict,
            Self::OriginNotAllowed => Reason::OriginNotAllowed,
            Self::Tenant(error) => error.reason(),
            Self::TenantMismatch => Reason::TenantMismatch,
            Self::Directory(error) => error.reason(),
            Self::UserUnknown => Reason::UserUnknown,
            Self::UserInactive => Reason::UserInactive,
            Self::AccountInactive => Reason::AccountInactive,
            Self::TokenRevoked => Reason::TokenRevoked,
            Self::AccountMismatch => Reason::AccountMismatch,
            Self::AccountMissing => Reason::AccountMissing,
            Self::RoleRequired => Reason::RoleRequired,
            Self::IdentityUnsafe => Reason::IdentityUnsafe,
        }
    }
}
