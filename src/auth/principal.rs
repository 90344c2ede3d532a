//! The principal: who a request acts as.
//!
//! Made once per request from a verified credential and the live record, never copied, never
//! changed, gone with the request. It has no maker but [`Principal::establish`], which is private to
//! this room.

use std::sync::Arc;

use super::account::{self, LiveAccount};
use super::denial::Denial;
use super::proof::VerifiedCredential;
use crate::config;
use crate::directory::Binding;
use crate::ids::{AccountId, TenantId, UserId};
use crate::reason::Reason;
use crate::route::{PublicGrant, Route, TenantBasis};
use crate::telemetry::UnixTime;

/// Who a request acts as. Holding one proves that tenant, user and account agree by policy, for
/// this request only: there is no `Clone`, no `Default` and no way to read one from bytes.
#[derive(Debug)]
pub struct Principal {
    tenant: TenantId,
    account: Option<AccountId>,
    reason: Reason,
    stale: bool,
    verified: Arc<VerifiedCredential>,
    binding: Arc<Binding>,
    grounds: Grounds,
}

/// What a decision rests on beside the acting credential and its live record; a stream that stays open
/// is held against it again.
#[derive(Debug, Clone, Default)]
pub struct Grounds {
    /// The other credentials of the request, each of which must stay good.
    pub beside: Vec<Arc<VerifiedCredential>>,
    /// What named the tenant.
    pub basis: TenantBasis,
}

impl Principal {
    /// Joins a verified credential of `tenant` and the live record of its subject there.
    pub(super) fn establish(
        tenant: TenantId,
        verified: Arc<VerifiedCredential>,
        binding: Arc<Binding>,
        route: &config::Route,
    ) -> Result<Self, Denial> {
        // A session is its user's only while the live password says so.
        verified.confirm(&binding)?;
        if !binding.active() {
            return Err(Denial::UserInactive);
        }
        let policy = &route.accounts;
        let bypass = binding
            .roles()
            .iter()
            .any(|role| policy.bypass_roles.iter().any(|name| **name == **role));
        let live = LiveAccount {
            account: binding.account(),
            memberships: binding.memberships(),
            bypass,
        };
        let acting = account::acting(policy, verified.account(), live);
        // `account_active` speaks of the live account; it is silent only about another account that
        // the user is let into. A bypass role never skips it.
        let elsewhere = acting.as_ref().is_ok_and(|acting| {
            acting.account.as_ref() != binding.account() && acting.reason != Reason::Bypass
        });
        if binding.account().is_some() && !binding.account_active() && !elsewhere {
            return Err(Denial::AccountInactive);
        }
        if let Some(valid_after) = binding.tokens_valid_after()
            && verified.is_older_than(valid_after)
        {
            return Err(Denial::TokenRevoked);
        }
        let acting = acting.map_err(|reason| match reason {
            Reason::AccountMissing => Denial::AccountMissing,
            _ => Denial::AccountMismatch,
        })?;
        let principal = Self {
            tenant,
            account: acting.account,
            reason: acting.reason,
            stale: acting.stale,
            verified,
            binding,
            grounds: Grounds::default(),
        };
        principal.meets(route)?;
        Ok(principal)
    }

    /// Notes what else it rests on.
    pub(super) fn on(mut self, grounds: Grounds) -> Self {
        self.grounds = grounds;
        self
    }

    /// All credentials of the request, the acting one first.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<VerifiedCredential>> {
        std::iter::once(&self.verified).chain(&self.grounds.beside)
    }

    /// When the first of its credentials ends of itself.
    #[must_use]
    pub fn ends(&self) -> UnixTime {
        let ends = self.credentials().map(|credential| credential.ends());
        ends.fold(self.verified.ends(), UnixTime::min)
    }

    /// What else it rests on.
    #[must_use]
    pub const fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// Step 7: what the route asks of the live record, and that every id fits a header.
    fn meets(&self, route: &config::Route) -> Result<(), Denial> {
        let roles = self.binding.roles();
        let has_role = route.roles.is_empty()
            || route
                .roles
                .iter()
                .any(|asked| roles.iter().any(|r| **r == **asked));
        let has_attributes = route.attributes.iter().all(|(name, values)| {
            self.binding
                .attributes()
                .get(name.as_str())
                .is_some_and(|value| values.contains(value))
        });
        if !has_role || !has_attributes {
            return Err(Denial::RoleRequired);
        }
        let ids = [
            Some(self.tenant.as_str()),
            Some(self.user().as_str()),
            self.account.as_ref().map(AccountId::as_str),
        ];
        let ids_fit = ids.into_iter().flatten().all(is_visible_ascii);
        let roles_fit = roles
            .iter()
            .all(|role| is_visible_ascii(role) && !role.contains(','));
        if ids_fit && roles_fit {
            Ok(())
        } else {
            Err(Denial::IdentityUnsafe)
        }
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The user, as the live record names it.
    #[must_use]
    pub fn user(&self) -> &UserId {
        self.binding.user()
    }

    /// The account acted in.
    #[must_use]
    pub const fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// The live roles, sorted.
    #[must_use]
    pub fn roles(&self) -> &[Arc<str>] {
        self.binding.roles()
    }

    /// The live record.
    #[must_use]
    pub const fn binding(&self) -> &Arc<Binding> {
        &self.binding
    }

    /// The credential that proved it.
    #[must_use]
    pub const fn verified(&self) -> &Arc<VerifiedCredential> {
        &self.verified
    }

    /// Why it was let through.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether the token names another account than the live one.
    #[must_use]
    pub const fn stale(&self) -> bool {
        self.stale
    }
}

/// The permission to forward one request on one route.
#[derive(Debug)]
pub enum Grant {
    /// As somebody.
    Member(Arc<Route>, Principal),
    /// As nobody.
    Public(Arc<Route>, PublicGrant),
}

impl Grant {
    /// The route it is tied to.
    #[must_use]
    pub const fn route(&self) -> &Arc<Route> {
        match self {
            Self::Member(route, _) | Self::Public(route, _) => route,
        }
    }

    /// The principal, if there is one.
    #[must_use]
    pub const fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Member(_, principal) => Some(principal),
            Self::Public(..) => None,
        }
    }

    /// Whether a request that is answered leaves no audit line: nobody acts, and the route wants none.
    #[must_use]
    pub fn leaves_no_line(&self) -> bool {
        matches!(self, Self::Public(route, _) if route.config().audit_refusals_alone)
    }

    /// Why it was given.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Member(_, principal) => principal.reason(),
            Self::Public(_, grant) => grant.reason(),
        }
    }
}

/// RFC 9110's VCHAR, the only characters of an id in a header.
fn is_visible_ascii(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
