//! Why a token is not accepted.
//!
//! No variant holds what a token claims: an error may be logged, and may concern a token that
//! nobody signed.

use std::sync::Arc;

use crate::reason::Reason;

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a token, or a claim has a type or form that it must not have.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Its algorithm is not one of the issuer's, or not the key's.
    #[error("the algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// No configured issuer has its `iss`.
    #[error("no configured issuer matches")]
    IssuerUnknown,
    /// The issuer has no such key.
    #[error("issuer {0} has no such key")]
    KeyUnknown(Arc<str>),
    /// The issuer's keys have not been had yet, or are too old to be trusted.
    #[error("the keys of issuer {0} cannot be had")]
    KeysUnavailable(Arc<str>),
    /// The signature does not verify.
    #[error("the signature does not verify")]
    SignatureInvalid,
    /// It has expired, or was made to live longer than the issuer may.
    #[error("the token has expired or lives too long")]
    Expired,
    /// It is not valid yet, or was made in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is for someone else.
    #[error("the audience does not match")]
    AudienceMismatch,
    /// A required claim is absent or has another value; named as in the configuration.
    #[error("the claim {0} is absent or has another value")]
    ClaimMissing(Arc<str>),
}

impl TokenError {
    /// The reason of the refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::CredentialMalformed,
            Self::AlgorithmNotAllowed => Reason::AlgorithmNotAllowed,
            Self::IssuerUnknown => Reason::IssuerUnknown,
            Self::KeyUnknown(_) => Reason::KeyUnknown,
            Self::KeysUnavailable(_) => Reason::KeysUnavailable,
            Self::SignatureInvalid => Reason::SignatureInvalid,
            Self::Expired => Reason::TokenExpired,
            Self::NotYetValid => Reason::TokenNotYetValid,
            Self::AudienceMismatch => Reason::AudienceMismatch,
            Self::ClaimMissing(_) => Reason::ClaimMissing,
        }
    }
}
