//! Minted: what one core has signed for a principal and may send again.
//!
//! An assertion, and a token in the app's own format, stand for a principal, not for one request.
//! Each is used until half its life is over, and only for the very record and credential that it was
//! signed from: when the directory reads a record anew, or a token is verified anew, nothing that
//! was signed before is sent again. Sessions get a fresh token each time.

use std::sync::{Arc, Weak};

use http::HeaderValue;

use crate::auth::Principal;
use crate::directory::Binding;
use crate::ids::{AccountId, TenantId};
use crate::telemetry::{Redacted, UnixTime};
use crate::token::{MintError, Recent, VerifiedToken};

/// A core's memory of what it has signed.
#[derive(Debug)]
pub struct Minted {
    assertions: Recent<AssertionKey, Kept<HeaderValue>>,
    reissued: Recent<ReissuedKey, Kept<Arc<Redacted>>>,
}

/// The record's address and the upstream's index. A weak reference beside the value keeps the address
/// from becoming another's meanwhile, and what stood there is let go of all the same.
type AssertionKey = (usize, usize);

/// The addresses of the record and of the token.
type ReissuedKey = (usize, usize);

#[derive(Debug, Clone)]
struct Kept<V> {
    value: V,
    tenant: TenantId,
    account: Option<AccountId>,
    binding: Weak<Binding>,
    /// The token that its claims are from, if any.
    token: Option<Weak<VerifiedToken>>,
    signed_at: UnixTime,
    /// The end of the first half of its life.
    until: UnixTime,
}

impl Minted {
    /// A memory of about so many bytes; with 0 everything is signed anew.
    #[must_use]
    pub fn of_bytes(bytes: usize) -> Self {
        Self {
            assertions: Recent::of_bytes(bytes / 2),
            reissued: Recent::of_bytes(bytes / 2),
        }
    }

    /// The assertion for `principal` towards an upstream; `sign` gives a new one and its end.
    pub(super) fn assertion<E>(
        &self,
        principal: &Principal,
        upstream: usize,
        now: UnixTime,
        sign: impl FnOnce() -> Result<(HeaderValue, UnixTime), E>,
    ) -> Result<HeaderValue, E> {
        let key = (address(principal.binding()), upstream);
        let holds = |kept: &Kept<HeaderValue>| kept.holds(principal, now);
        if let Some(kept) = self.assertions.find(&key, holds) {
            return Ok(kept.value);
        }
        let (value, ends) = sign()?;
        let bytes = weight::<HeaderValue>(value.len());
        let kept = Kept::new(value.clone(), principal, None, (now, ends));
        self.assertions.keep(key, kept, bytes);
        Ok(value)
    }

    /// The token in the app's own format for `principal`; `sign` gives a new one and its end.
    pub(super) fn reissued(
        &self,
        principal: &Principal,
        now: UnixTime,
        sign: impl FnOnce() -> Result<(Redacted, UnixTime), MintError>,
    ) -> Result<Arc<Redacted>, MintError> {
        let Some(token) = principal.verified().token() else {
            return Ok(Arc::new(sign()?.0));
        };
        let key = (address(principal.binding()), address(token));
        let holds = |kept: &Kept<Arc<Redacted>>| kept.holds(principal, now);
        if let Some(kept) = self.reissued.find(&key, holds) {
            return Ok(kept.value);
        }
        let (value, ends) = sign()?;
        let bytes = weight::<Arc<Redacted>>(value.expose().len());
        let value = Arc::new(value);
        let from = Some(Arc::downgrade(token));
        let kept = Kept::new(Arc::clone(&value), principal, from, (now, ends));
        self.reissued.keep(key, kept, bytes);
        Ok(value)
    }
}

impl<V> Kept<V> {
    fn new(
        value: V,
        principal: &Principal,
        token: Option<Weak<VerifiedToken>>,
        (now, ends): (UnixTime, UnixTime),
    ) -> Self {
        Self {
            value,
            tenant: principal.tenant().clone(),
            account: principal.account().cloned(),
            binding: Arc::downgrade(principal.binding()),
            token,
            signed_at: now,
            until: now.saturating_add(ends.since(now) / 2),
        }
    }

    /// Whether it is young enough and says what would be said now. A clock that was set back makes
    /// everything old.
    fn holds(&self, principal: &Principal, now: UnixTime) -> bool {
        self.signed_at <= now
            && now < self.until
            && self.tenant == *principal.tenant()
            && self.account.as_ref() == principal.account()
            && is_of(&self.binding, principal.binding())
            && self.token.as_ref().is_none_or(|from| {
                let token = principal.verified().token();
                token.is_some_and(|token| is_of(from, token))
            })
    }
}

/// What an entry takes: its text and itself, and the room of the record and of the token, which is
/// free only when nothing refers to it any more.
const fn weight<V>(text: usize) -> usize {
    text + size_of::<Kept<V>>() + size_of::<Binding>() + size_of::<VerifiedToken>()
}

fn is_of<T>(held: &Weak<T>, shared: &Arc<T>) -> bool {
    std::ptr::eq(held.as_ptr(), Arc::as_ptr(shared))
}

fn address<T>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).addr()
}
