//! Minted: what one core has written and signed for a principal and may send again.
//!
//! The identity headers, the assertion and a token in the app's own format stand for a principal, not
//! for one request. What is signed is used until half its life is over; all of it only for the very
//! record and credential that it was made from: when the directory reads another record, or a token is
//! verified anew, nothing that was made before is sent again. Sessions get a fresh token each time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::auth::Principal;
use crate::directory::Edition;
use crate::ids::{AccountId, TenantId};
use crate::telemetry::{Redacted, UnixTime};
use crate::token::{MintError, Recent, VerifiedToken};

/// How long identity headers are used again where nothing signed is among them.
const UNSIGNED: Duration = Duration::from_hours(1);

/// The headers of a principal, in the order in which they are inserted.
pub(super) type Fields = Arc<[(HeaderName, HeaderValue)]>;

/// A core's memory of what it has written.
#[derive(Debug)]
pub struct Minted {
    fields: Recent<FieldsKey, Kept<Fields>>,
    reissued: Recent<ReissuedKey, Kept<Arc<Redacted>>>,
}

/// The record's edition, which no other record ever has, the upstream's and the credential's index.
type FieldsKey = (Edition, usize, usize);

/// The record's edition, and the address of the token. A weak reference beside the value keeps the address
/// from becoming another's meanwhile, and what stood there is let go of all the same.
type ReissuedKey = (Edition, usize);

#[derive(Debug, Clone)]
struct Kept<V> {
    value: V,
    tenant: TenantId,
    account: Option<AccountId>,
    /// The token that its claims are from, if any.
    token: Option<Weak<VerifiedToken>>,
    made_at: UnixTime,
    /// The end of the first half of its life.
    until: UnixTime,
}

impl Minted {
    /// A memory of about so many bytes; with 0 everything is made anew.
    #[must_use]
    pub fn of_bytes(bytes: usize) -> Self {
        Self {
            fields: Recent::of_bytes(bytes / 2),
            reissued: Recent::of_bytes(bytes / 2),
        }
    }

    /// The headers for `principal` towards an upstream; `make` gives new ones, and the end of what is
    /// signed among them.
    pub(super) fn fields<E>(
        &self,
        principal: &Principal,
        upstream: usize,
        now: UnixTime,
        make: impl FnOnce() -> Result<(Vec<(HeaderName, HeaderValue)>, Option<UnixTime>), E>,
    ) -> Result<Fields, E> {
        let edition = principal.binding().edition();
        let key = (edition, upstream, principal.verified().credential());
        let holds = |kept: &Kept<Fields>| kept.holds(principal, now);
        if let Some(kept) = self
            .fields
            .find(&key, holds, |kept| Arc::clone(&kept.value))
        {
            return Ok(kept);
        }
        let (fields, ends) = make()?;
        let value: Fields = fields.into();
        if !self.fields.remembers() {
            return Ok(value);
        }
        let text = value
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len());
        let bytes = weight::<Fields>(text.sum());
        let ends = ends.unwrap_or(now.saturating_add(UNSIGNED));
        let kept = Kept::new(Arc::clone(&value), principal, None, (now, ends));
        self.fields.keep(key, kept, bytes);
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
        let key = (principal.binding().edition(), address(token));
        let holds = |kept: &Kept<Arc<Redacted>>| kept.holds(principal, now);
        if let Some(kept) = self
            .reissued
            .find(&key, holds, |kept| Arc::clone(&kept.value))
        {
            return Ok(kept);
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
            token,
            made_at: now,
            until: now.saturating_add(ends.since(now) / 2),
        }
    }

    /// Whether it is young enough and says what would be said now. A clock that was set back makes
    /// everything old.
    fn holds(&self, principal: &Principal, now: UnixTime) -> bool {
        self.made_at <= now
            && now < self.until
            && self.tenant == *principal.tenant()
            && self.account.as_ref() == principal.account()
            && self.token.as_ref().is_none_or(|from| {
                let token = principal.verified().token();
                token.is_some_and(|token| is_of(from, token))
            })
    }
}

/// What an entry takes: its text and itself, and the room of the token, which is free only when nothing
/// refers to it any more.
const fn weight<V>(text: usize) -> usize {
    text + size_of::<Kept<V>>() + size_of::<VerifiedToken>()
}

fn is_of<T>(held: &Weak<T>, shared: &Arc<T>) -> bool {
    std::ptr::eq(held.as_ptr(), Arc::as_ptr(shared))
}

fn address<T>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).addr()
}
