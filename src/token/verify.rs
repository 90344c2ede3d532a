//! Verify: the only maker of a [`VerifiedToken`].
//!
//! The order never changes: read header and payload; find the issuer by `iss`; its algorithms; its
//! keys; the signature; and only then anything else that the token claims. An error says why, never
//! what the token said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::claims;
use super::error::TokenError;
use super::issuer::{Issuer, KeyStatus};
use super::jose::{self, Unverified};
use super::json::{Json, Object};
use super::keys::Mark;
use super::rules::{self, Judged};
use crate::config::{ClaimPath, Fault, Issuer as Rules};
use crate::ids::{AccountId, TenantId, UserId};
use crate::net::Fetcher;
use crate::telemetry::{Metrics, UnixTime};

/// A token whose signature, issuer and claims have been checked. Holding one proves that: nothing
/// but [`Verifier::verify`] and [`Verifier::try_verify`] makes one, and it cannot be copied.
pub struct VerifiedToken {
    issuer: usize,
    rules: Arc<Rules>,
    generation: u64,
    /// The key that verified it, and how.
    key: (Mark, Algorithm),
    judged: Judged,
    /// What it claims, as the JSON that was read.
    payload: String,
    verified_at: UnixTime,
}

impl VerifiedToken {
    /// Index of its issuer in the configuration.
    #[must_use]
    pub const fn issuer(&self) -> usize {
        self.issuer
    }

    /// Its issuer's name.
    #[must_use]
    pub fn issuer_name(&self) -> &Arc<str> {
        &self.rules.name
    }

    /// The directory look-up that its subject goes through.
    #[must_use]
    pub fn lookup(&self) -> &Arc<str> {
        &self.rules.lookup
    }

    /// The tenants that its issuer may speak for; `None` for all.
    #[must_use]
    pub fn bound_tenants(&self) -> Option<&[TenantId]> {
        self.rules.tenants.as_deref()
    }

    /// The subject.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        &self.judged.user
    }

    /// The account of login time, where it names one.
    #[must_use]
    pub const fn account(&self) -> Option<&AccountId> {
        self.judged.account.as_ref()
    }

    /// The tenant, where it names one.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.judged.tenant.as_ref()
    }

    /// `exp`.
    #[must_use]
    pub const fn expires(&self) -> UnixTime {
        self.judged.expires
    }

    /// The first moment at which it is refused: `exp` and the issuer's leeway.
    #[must_use]
    pub const fn expires_with_leeway(&self) -> UnixTime {
        self.judged.expires_with_leeway
    }

    /// When it was made, where it says so.
    #[must_use]
    pub const fn issued_at(&self) -> Option<UnixTime> {
        self.judged.issued_at
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        let ids = [self.account().map(AccountId::as_str), self.jti()];
        let ids = ids.into_iter().flatten().chain([self.user().as_str()]);
        let tenant = self.tenant().map_or(0, |tenant| tenant.as_str().len());
        size_of::<Self>() + self.payload.capacity() + tenant + ids.map(str::len).sum::<usize>()
    }

    /// `jti`, where it has one.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.judged.jti.as_deref()
    }

    /// Everything that it claims, verified. Read anew from its payload each time, since few ask; by the
    /// reader that has read it before, so that there is always something.
    #[must_use]
    pub fn claims(&self) -> Option<Map<String, Value>> {
        Object::read(&self.payload).ok().map(Object::into_owned)
    }
}

/// Without its claims: they say who somebody is.
impl std::fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("issuer", &self.rules.name)
            .finish_non_exhaustive()
    }
}

/// What a token claims without having proved it, for logs of refusals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The name of the configured issuer that it would have.
    pub issuer: Option<Arc<str>>,
    /// The subject.
    pub user: Option<UserId>,
    /// The account.
    pub account: Option<AccountId>,
    /// The tenant.
    pub tenant: Option<TenantId>,
}

/// Verifies tokens of all configured issuers.
pub struct Verifier {
    issuers: Vec<Issuer>,
    by_iss: HashMap<String, usize, ahash::RandomState>,
    /// The issuer whose tokens have no `iss`.
    without_iss: Option<usize>,
    fetcher: Fetcher,
    metrics: Arc<Metrics>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Verifier {
    /// Builds every issuer's keys and proves its algorithms; files are read, nothing is fetched.
    pub fn build(
        issuers: &[Rules],
        fetcher: Fetcher,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut built = Vec::new();
        let mut by_iss = HashMap::default();
        let mut without_iss = None;
        for (index, rules) in issuers.iter().enumerate() {
            let other = match &rules.issuer {
                Some(iss) => by_iss.insert(iss.clone(), index),
                None => without_iss.replace(index),
            };
            if other.is_some() {
                faults.push(Fault::new(
                    &rules.at.key("issuer"),
                    "two issuers have the same `issuer`",
                    "one entry for each `iss`, and at most one without",
                ));
            }
            match Issuer::build(rules, metrics) {
                Ok(issuer) => built.push(issuer),
                Err(found) => faults.extend(found),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            issuers: built,
            by_iss,
            without_iss,
            fetcher,
            metrics: Arc::clone(metrics),
            tasks: Mutex::default(),
        })
    }

    /// Starts to fetch key sets and to watch key files, on the control runtime. Until then, and
    /// until the first fetch succeeds, tokens that need a remote key set get
    /// [`TokenError::KeysUnavailable`].
    pub fn start(&self, control: &Handle) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if !tasks.is_empty() {
            return;
        }
        for live in self.issuers.iter().filter_map(Issuer::live) {
            live.announce();
            let task = control.spawn(Arc::clone(live).run(self.fetcher.clone()));
            tasks.push(task.abort_handle());
        }
    }

    /// Verifies a token; waits only where its key is not known yet and may be fetched.
    pub async fn verify(&self, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenError> {
        self.metrics.token_verifications.inc();
        match self.try_verify(token, now) {
            Err(error @ (TokenError::KeyUnknown(_) | TokenError::KeysUnavailable(_))) => {
                Box::pin(self.verify_with_new_keys(token, now, error)).await
            }
            decided => decided,
        }
    }

    /// The same once more, with keys that were fetched for it; where none can be, as it was decided.
    async fn verify_with_new_keys(
        &self,
        token: &str,
        now: UnixTime,
        decided: TokenError,
    ) -> Result<VerifiedToken, TokenError> {
        let live = {
            let read = jose::read(token)?;
            let (_, issuer) = self.issuer_of(&read.claims()?)?;
            issuer.live()
        };
        let Some(live) = live else {
            return Err(decided);
        };
        live.refetch().await;
        self.try_verify(token, now)
    }

    /// Verifies a token with the keys at hand.
    pub fn try_verify(&self, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenError> {
        let read = jose::read(token)?;
        let claims = read.claims()?;
        let (index, issuer) = self.issuer_of(&claims)?;
        let Signed { generation, key } = Signed::by(issuer, &read)?;
        let judged = rules::judge(&issuer.rules, &claims, now)?;
        drop(claims);
        Ok(VerifiedToken {
            issuer: index,
            rules: Arc::clone(&issuer.rules),
            generation,
            key,
            judged,
            payload: read.payload,
            verified_at: now,
        })
    }

    /// Whether a token that was verified earlier still is: not expired by the wall clock, and its
    /// issuer's keys neither changed nor too old. A clock that was set back makes it unknown again,
    /// since what it says of its beginning was judged by a later time. A cache asks this on every
    /// hit, and verifies anew when the answer is no.
    #[must_use]
    pub fn still_holds(&self, token: &VerifiedToken, now: UnixTime) -> bool {
        let issuer = self.issuers.get(token.issuer);
        issuer.and_then(Issuer::generation) == Some(token.generation)
            && token.verified_at <= now
            && now < token.judged.expires_with_leeway
    }

    /// Whether the key that verified a token is still its issuer's, whatever else has changed among them:
    /// what a stream asks, which does not keep the token itself.
    pub async fn still_trusted(&self, token: &VerifiedToken) -> Result<(), TokenError> {
        let issuer = self.issuers.get(token.issuer);
        let issuer = issuer.ok_or(TokenError::IssuerUnknown)?;
        match (issuer.trusts(token.generation, &token.key), issuer.live()) {
            (Err(TokenError::KeyUnknown(_)), Some(live)) => {
                live.refetch().await;
                issuer.trusts(token.generation, &token.key)
            }
            (decided, _) => decided,
        }
    }

    /// What a token claims, proved or not. Only for logs.
    #[must_use]
    pub fn claimed(&self, token: &str) -> Claimed {
        let Ok(read) = jose::read(token) else {
            return Claimed::default();
        };
        let Ok(claims) = read.claims() else {
            return Claimed::default();
        };
        let Ok((_, issuer)) = self.issuer_of(&claims) else {
            return Claimed::default();
        };
        let names = &issuer.rules.claims;
        let find = |path: Option<&ClaimPath>| claims::find(&claims, path?);
        Claimed {
            issuer: Some(Arc::clone(&issuer.rules.name)),
            user: find(Some(&names.user)).and_then(|id| UserId::from_json(id).ok()),
            account: find(names.account.as_ref()).and_then(|id| AccountId::from_json(id).ok()),
            tenant: find(names.tenant.as_ref()).and_then(|id| TenantId::from_json(id).ok()),
        }
    }

    /// The state of every issuer's keys, in the file's order.
    #[must_use]
    pub fn status(&self) -> Vec<(Arc<str>, KeyStatus)> {
        self.issuers
            .iter()
            .map(|issuer| (Arc::clone(&issuer.rules.name), issuer.status()))
            .collect()
    }

    /// The one issuer whose `iss` the token has (RFC 7519, section 4.1.1); one without `iss` has
    /// the one issuer that asks for none.
    fn issuer_of(&self, claims: &Object<'_>) -> Result<(usize, &Issuer), TokenError> {
        let index = match claims.get("iss") {
            None => self.without_iss,
            Some(Json::Text(iss)) => self.by_iss.get(&**iss).copied(),
            Some(_) => None,
        };
        index
            .and_then(|index| Some((index, self.issuers.get(index)?)))
            .ok_or(TokenError::IssuerUnknown)
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        for task in tasks.drain(..) {
            task.abort();
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.issuers.iter().map(|issuer| &issuer.rules.name))
            .finish()
    }
}

/// That a token is signed: by which key, of which generation of its issuer's. A verified token is made of
/// one.
struct Signed {
    generation: u64,
    key: (Mark, Algorithm),
}

impl Signed {
    fn by(issuer: &Issuer, read: &Unverified<'_>) -> Result<Self, TokenError> {
        if !issuer.rules.algorithms.contains(&read.algorithm) {
            return Err(TokenError::AlgorithmNotAllowed);
        }
        let (keys, generation) = issuer.keys()?;
        let mark = keys
            .check(read.kid.as_deref(), read.algorithm, |key| {
                key.verifies(read.algorithm, read.message, read.signature())
            })
            .map_err(|mismatch| mismatch.error(&issuer.rules.name))?;
        Ok(Self {
            generation,
            key: (mark, read.algorithm),
        })
    }
}

#[cfg(test)]
mod tests;
