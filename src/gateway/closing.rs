//! Closing: what a second decision about a stream means for it.

use crate::reason::Reason;

/// 4401 asks the client for another credential, 4403 tells it that none will do.
pub(super) const fn code(reason: Reason) -> u16 {
    match reason {
        Reason::TokenExpired
        | Reason::TokenRevoked
        | Reason::KeyUnknown
        | Reason::SessionInvalid
        | Reason::SessionExpired
        | Reason::UserUnknown => 4401,
        _ => 4403,
    }
}

/// Whether there is no answer rather than a refusal.
pub(super) const fn is_silence(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DirectoryUnavailable | Reason::KeysUnavailable
    )
}
