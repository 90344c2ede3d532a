//! The decider: steps 3 to 7 of a request, in that order.
//!
//! Everything a decision looked at is noted in [`Evidence`] on the way, so that the audit line of a
//! refusal can say what was claimed. A stream that stays open is decided again by the same rules
//! (`standing.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::denial::Denial;
use super::origin::{self, OriginFacts};
use super::principal::{Grant, Grounds, Principal};
use super::proof::VerifiedCredential;
use super::session::Sessions;
use super::standing::{Unpushed, narrow};
use crate::config::{Config, Conflict, Origins};
use crate::credential::Presented;
use crate::directory::{Binding, Directory, Lease, Live, Near, Revocations};
use crate::ids::TenantId;
use crate::route::{Access, Matched, Route, TenantAnswer, TenantBasis, Tenants};
use crate::session::CsrfFacts;
use crate::telemetry::{Trace, UnixTime};
use crate::token::{Recent, VerifiedToken, Verifier};

/// The tokens that one core has verified, under their whole text.
pub type VerifiedTokens = Recent<Box<[u8]>, Arc<VerifiedToken>>;

/// What a core keeps of earlier decisions: no identity, only proofs that are dear to make, and where the
/// live records stand.
#[derive(Debug)]
pub struct Known {
    /// Verified tokens.
    pub tokens: VerifiedTokens,
    /// The way to the live records.
    pub near: Near,
}

/// What a request asks to be decided on.
#[derive(Debug)]
pub struct Ask {
    /// What the tenant sources say.
    pub tenant: TenantAnswer,
    /// What that rests on.
    pub basis: TenantBasis,
    /// What it carries.
    pub presented: Presented,
    /// Where it comes from.
    pub origin: OriginFacts,
    /// What Django's CSRF check would look at; for requests with a session and an unsafe method.
    pub csrf: Option<CsrfFacts>,
}

/// What a decision looked at, for the audit line; filled in as far as the decision came.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The tenant that the request belongs to.
    pub tenant: Option<TenantId>,
    /// The acting credential, verified.
    pub verified: Option<Arc<VerifiedCredential>>,
    /// The live record of its subject.
    pub binding: Option<Arc<Binding>>,
    /// The hash of a session's key, also of one that turned out to be dead.
    pub session: Option<Arc<str>>,
}

/// The one decider.
#[derive(Debug)]
pub struct Authenticator {
    pub(super) verifier: Arc<Verifier>,
    pub(super) directory: Arc<Directory>,
    pub(super) tenants: Arc<Tenants>,
    pub(super) revocations: Arc<Revocations>,
    /// The issuers, by index, of whose tokens the app's blacklist is asked.
    pub(super) blacklist: BTreeSet<usize>,
    pub(super) unpushed: Unpushed,
    conflict: Conflict,
    origins: Origins,
    pub(super) sessions: Sessions,
    /// Whether a session reaches the upstream as a bearer token, for which the app checks no CSRF.
    pub(super) sessions_as_bearer: bool,
}

impl Authenticator {
    /// Joins the rooms that it decides from.
    #[must_use]
    pub fn build(
        config: &Config,
        verifier: Arc<Verifier>,
        directory: Arc<Directory>,
        tenants: Arc<Tenants>,
        revocations: Arc<Revocations>,
    ) -> Self {
        Self {
            verifier,
            directory,
            tenants,
            revocations,
            blacklist: {
                let blacklist = config.directory.blacklist.as_ref();
                blacklist.map_or_else(BTreeSet::new, |list| list.issuers.clone())
            },
            unpushed: Unpushed::of(config),
            conflict: config.conflict,
            origins: config.origins.clone(),
            sessions: Sessions::build(config),
            sessions_as_bearer: config
                .identity
                .reissue
                .as_ref()
                .is_some_and(|reissue| reissue.also_authorization),
        }
    }

    /// Decides one request. Tokens that are `known` are not verified again while they hold; whom they
    /// speak of is asked of the directory each time. `lease`, where the request may become a stream, is registered before the
    /// live look-up, so that no change between the two is missed.
    pub async fn decide(
        &self,
        matched: &Matched<'_>,
        ask: &Ask,
        known: &Known,
        now: UnixTime,
        lease: Option<&mut Option<Lease>>,
        seen: (&mut Evidence, &mut Trace),
    ) -> Result<Grant, Denial> {
        let (evidence, trace) = seen;
        let route = matched.route;
        if let TenantAnswer::Named(tenant) = &ask.tenant {
            evidence.tenant = Some(tenant.clone());
        }
        if let Some(preflight) = &matched.preflight {
            return Ok(Grant::Public(Arc::clone(route), preflight.grant()));
        }
        let anonymous = match route.access() {
            Access::Public(access) => return Ok(Grant::Public(Arc::clone(route), access.grant())),
            Access::Optional(access) => Some(access),
            Access::Member(_) => None,
        };

        // Step 4: every credential is verified; one bad one refuses the request.
        let seen = (&mut *evidence, &mut *trace);
        let verified = self.verify(ask, &known.tokens, now, seen).await?;
        let Some(acting) = verified.first() else {
            return match anonymous {
                Some(access) => Ok(Grant::Public(Arc::clone(route), access.anonymous())),
                None => Err(Denial::CredentialMissing),
            };
        };
        evidence.verified = Some(Arc::clone(acting));
        self.refuse_conflict(&verified)?;

        // Step 4b: an identity that rests on nothing but cookies.
        let rests_on_cookie = match self.conflict {
            Conflict::Reject => verified.iter().all(|credential| credential.rests_on_cookie),
            Conflict::PreferFirst => acting.rests_on_cookie,
        };
        // What the gateway itself answers, no app checks.
        let checks = self.origins.check_unsafe_methods || route.is_endpoint();
        if rests_on_cookie && !origin::may_ride(checks, &ask.origin) {
            return Err(Denial::OriginNotAllowed);
        }
        // At the endpoint it is the acting credential that becomes a bearer token.
        let becomes_bearer = if route.is_endpoint() {
            acting.session().is_some()
        } else {
            self.sessions_as_bearer
        };
        if rests_on_cookie && becomes_bearer {
            Self::check_csrf(&verified, ask)?;
        }

        // Step 5: the credential speaks for this tenant.
        let tenant = self.tenant(&ask.tenant, acting.spoken_tenant()).await?;
        trace.note("tenant", || json!({ "tenant": tenant }));
        evidence.tenant = Some(tenant.clone());
        self.speaks_for(acting, &tenant)?;

        // Steps 6 and 7, with the lease registered first.
        let lease = lease.map(|slot| slot.insert(self.directory.leases().register(&tenant)));
        if lease.is_some() {
            // Tenant and sessions were looked up before the lease; what ended one in between is seen here.
            self.refuse_another_tenant(&tenant, &ask.basis, acting)
                .await?;
            for credential in &verified {
                self.still_alive(credential, now).await?;
            }
        }
        for credential in &verified {
            self.refuse_revoked(&tenant, credential, None, now)?;
            if self.asks_blacklist(credential) {
                Box::pin(self.refuse_blacklisted(&tenant, credential)).await?;
            }
        }
        let near = Some(&known.near);
        let principal = self
            .establish(&tenant, acting, route, near, (evidence, trace))
            .await?;
        self.refuse_revoked(&tenant, acting, Some(principal.user()), now)?;
        let beside = verified.get(1..).unwrap_or_default();
        self.same_live_user(beside, &principal, route).await?;
        if let Some(lease) = lease {
            narrow(lease, principal.binding(), &verified);
        }
        let mut beside = verified;
        beside.remove(0);
        let basis = ask.basis.clone();
        let principal = principal.on(Grounds { beside, basis });
        Ok(Grant::Member(Arc::clone(route), principal))
    }

    /// Two credentials are one identity when tenant and subject agree; those of different look-ups
    /// are compared by live user, and all by the account that they would act in, in step 6.
    fn refuse_conflict(&self, verified: &[Arc<VerifiedCredential>]) -> Result<(), Denial> {
        if self.conflict == Conflict::PreferFirst {
            return Ok(());
        }
        let agree = |a: &VerifiedCredential, b: &VerifiedCredential| {
            let tenants = match (a.spoken_tenant(), b.spoken_tenant()) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            };
            tenants && (a.lookup() != b.lookup() || a.user() == b.user())
        };
        let conflict = verified
            .split_first()
            .is_some_and(|(first, rest)| rest.iter().any(|other| !agree(first, other)));
        if conflict {
            Err(Denial::CredentialConflict)
        } else {
            Ok(())
        }
    }

    /// Credentials beside the acting one must by themselves lead to the same live user and account,
    /// also where they went through another look-up, and must speak for the same tenant.
    pub(super) async fn same_live_user(
        &self,
        beside: &[Arc<VerifiedCredential>],
        principal: &Principal,
        route: &Route,
    ) -> Result<(), Denial> {
        let ignored = self.conflict == Conflict::PreferFirst;
        for other in beside {
            if ignored {
                // It decides nothing, but a session that is dead refuses like any bad credential.
                if other.session().is_some() {
                    self.live(other, principal.tenant()).await?;
                }
                continue;
            }
            self.speaks_for(other, principal.tenant())?;
            let binding = if other.lookup() == principal.verified().lookup() {
                other.confirm(principal.binding())?;
                Arc::clone(principal.binding())
            } else {
                self.live(other, principal.tenant()).await?
            };
            let (tenant, other) = (principal.tenant().clone(), Arc::clone(other));
            let alone = Principal::establish(tenant, other, binding, route.config())?;
            if alone.user() != principal.user() || alone.account() != principal.account() {
                return Err(Denial::CredentialConflict);
            }
        }
        Ok(())
    }

    /// The live record of a credential's subject, against which a session has been held.
    async fn live(
        &self,
        verified: &VerifiedCredential,
        tenant: &TenantId,
    ) -> Result<Arc<Binding>, Denial> {
        let (lookup, user) = (verified.lookup(), verified.user());
        match self.directory.live(tenant, lookup, user).await? {
            Live::Known(binding) => {
                verified.confirm(&binding)?;
                Ok(binding)
            }
            Live::Unknown => Err(Denial::UserUnknown),
        }
    }

    pub(super) async fn tenant(
        &self,
        answer: &TenantAnswer,
        spoken: Option<&TenantId>,
    ) -> Result<TenantId, Denial> {
        match answer {
            TenantAnswer::Named(tenant) => Ok(tenant.clone()),
            TenantAnswer::FromCredential | TenantAnswer::Unnamed => {
                Ok(self.tenants.from_credential(spoken).await?)
            }
        }
    }

    pub(super) fn speaks_for(
        &self,
        credential: &VerifiedCredential,
        tenant: &TenantId,
    ) -> Result<(), Denial> {
        let may = credential.may_speak_for(tenant);
        let says = match credential.spoken_tenant() {
            Some(spoken) => spoken == tenant,
            None => !self.tenants.several(),
        };
        if may && says {
            Ok(())
        } else {
            Err(Denial::TenantMismatch)
        }
    }

    pub(super) async fn establish(
        &self,
        tenant: &TenantId,
        verified: &Arc<VerifiedCredential>,
        route: &Route,
        near: Option<&Near>,
        (evidence, trace): (&mut Evidence, &mut Trace),
    ) -> Result<Principal, Denial> {
        let (lookup, user) = (verified.lookup(), verified.user());
        let directory = &self.directory;
        let live = match near {
            Some(near) => directory.live_near(tenant, lookup, user, near).await?,
            None => directory.live(tenant, lookup, user).await?,
        };
        let binding = match live {
            Live::Known(binding) => binding,
            Live::Unknown => {
                trace.note("live record", || json!(null));
                return Err(Denial::UserUnknown);
            }
        };
        trace.note("live record", || {
            json!({
                "user": binding.user(), "account": binding.account(), "active": binding.active(),
                "account_active": binding.account_active(), "roles": binding.roles(),
                "memberships": binding.memberships(), "attributes": binding.attributes(),
                "tokens_valid_after": binding.tokens_valid_after().map(UnixTime::rfc3339),
            })
        });
        evidence.binding = Some(Arc::clone(&binding));
        let established = Principal::establish(
            tenant.clone(),
            Arc::clone(verified),
            binding,
            route.config(),
        )
        .inspect_err(|denial| {
            // A session that is not this user's proves nobody, and no log may say it did.
            if matches!(denial, Denial::Session(..)) {
                evidence.binding = None;
            }
        });
        trace.note("policy", || match &established {
            Ok(principal) => json!({
                "outcome": principal.reason().code(), "acts_in_account": principal.account(),
                "token_stale": principal.stale(),
            }),
            Err(denial) => json!({ "outcome": denial.reason().code() }),
        });
        established
    }
}
