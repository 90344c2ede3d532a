//! Verify: the only maker of a [`VerifiedToken`].
//!
//! The order never changes: read header and payload; find the issuer by `iss`; its algorithms; its
//! keys; the signature; and only then anything else that the token claims. An error says why, never
//! what the token said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::error::TokenError;
use super::jose::{self, Unverified};
use super::keys::{self, KeySet};
use super::live::{LiveKeys, Source};
use super::public_key::family;
use super::remote::Remote;
use super::rules::{self, Judged};
use super::{claims, crypto};
use crate::config::{Fault, Issuer, KeySource};
use crate::ids::{AccountId, TenantId, UserId};
use crate::net::Fetcher;
use crate::telemetry::{Metrics, UnixTime};

/// A token whose signature, issuer and claims have been checked. Holding one proves that: nothing
/// but [`Verifier::verify`] and [`Verifier::try_verify`] makes one, and it cannot be copied.
pub struct VerifiedToken {
    issuer: usize,
    rules: Arc<Issuer>,
    generation: u64,
    judged: Judged,
    claims: Arc<Map<String, Value>>,
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

    /// `jti`, where it has one.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.judged.jti.as_deref()
    }

    /// Everything that it claims, verified.
    #[must_use]
    pub const fn claims(&self) -> &Arc<Map<String, Value>> {
        &self.claims
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

/// The state of one issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// Whether tokens can be verified.
    pub ready: bool,
    /// How many keys there are.
    pub keys: usize,
    /// How long ago they were fetched; `None` for keys that the configuration fixes, or before the
    /// first fetch.
    pub age: Option<Duration>,
    /// Why the last fetch failed, if it did.
    pub error: Option<String>,
}

/// Verifies tokens of all configured issuers.
pub struct Verifier {
    issuers: Vec<Entry>,
    by_iss: HashMap<Option<String>, usize, ahash::RandomState>,
    fetcher: Fetcher,
    tasks: Mutex<Vec<AbortHandle>>,
}

struct Entry {
    rules: Arc<Issuer>,
    keys: Keys,
}

enum Keys {
    Fixed(Arc<KeySet>),
    Live(Arc<LiveKeys>),
}

impl Verifier {
    /// Builds every issuer's keys and proves its algorithms; files are read, nothing is fetched.
    pub fn build(
        issuers: &[Issuer],
        fetcher: Fetcher,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut entries = Vec::new();
        let mut by_iss = HashMap::default();
        for (index, issuer) in issuers.iter().enumerate() {
            if by_iss.insert(issuer.issuer.clone(), index).is_some() {
                faults.push(Fault::new(
                    &issuer.at.key("issuer"),
                    "two issuers have the same `issuer`",
                    "one entry for each `iss`, and at most one without",
                ));
            }
            for algorithm in &issuer.algorithms {
                if let Err(error) = crypto::self_test(family(*algorithm)) {
                    faults.push(Fault::new(
                        &issuer.at.key("algorithms"),
                        error.to_string(),
                        "a build whose crypto library works",
                    ));
                }
            }
            match build_keys(issuer, metrics) {
                Ok(keys) => entries.push(Entry {
                    rules: Arc::new(issuer.clone()),
                    keys,
                }),
                Err(found) => faults.extend(found),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            issuers: entries,
            by_iss,
            fetcher,
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
        for entry in &self.issuers {
            if let Keys::Live(live) = &entry.keys {
                live.announce();
                let task = control.spawn(Arc::clone(live).run(self.fetcher.clone()));
                tasks.push(task.abort_handle());
            }
        }
    }

    /// Verifies a token; waits only where its key is not known yet and may be fetched.
    pub async fn verify(&self, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenError> {
        let read = jose::read(token)?;
        let (index, entry) = self.issuer_of(&read)?;
        match attempt(index, entry, &read, now) {
            Err(TokenError::KeyUnknown(_) | TokenError::KeysUnavailable(_)) => {}
            decided => return decided,
        }
        if let Keys::Live(live) = &entry.keys {
            live.refetch().await;
        }
        attempt(index, entry, &read, now)
    }

    /// Verifies a token with the keys at hand.
    pub fn try_verify(&self, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenError> {
        let read = jose::read(token)?;
        let (index, entry) = self.issuer_of(&read)?;
        attempt(index, entry, &read, now)
    }

    /// Whether a token that was verified earlier still is: not expired by the wall clock, and its
    /// issuer's keys neither changed nor too old. A cache asks this on every hit, and verifies anew
    /// when the answer is no.
    #[must_use]
    pub fn still_holds(&self, token: &VerifiedToken, now: UnixTime) -> bool {
        let unchanged = match self.issuers.get(token.issuer).map(|entry| &entry.keys) {
            Some(Keys::Fixed(_)) => true,
            Some(Keys::Live(live)) => {
                let state = live.state();
                state.generation == token.generation && live.is_fresh(&state)
            }
            None => false,
        };
        unchanged && now < token.judged.expires_with_leeway
    }

    /// What a token claims, proved or not. Only for logs.
    #[must_use]
    pub fn claimed(&self, token: &str) -> Claimed {
        let Ok(read) = jose::read(token) else {
            return Claimed::default();
        };
        let Ok((_, entry)) = self.issuer_of(&read) else {
            return Claimed::default();
        };
        let names = &entry.rules.claims;
        let find = |path: Option<&crate::config::ClaimPath>| claims::find(&read.claims, path?);
        Claimed {
            issuer: Some(Arc::clone(&entry.rules.name)),
            user: find(Some(&names.user)).and_then(|id| UserId::from_json(id).ok()),
            account: find(names.account.as_ref()).and_then(|id| AccountId::from_json(id).ok()),
            tenant: find(names.tenant.as_ref()).and_then(|id| TenantId::from_json(id).ok()),
        }
    }

    /// The state of every issuer's keys, in the file's order.
    #[must_use]
    pub fn status(&self) -> Vec<(Arc<str>, KeyStatus)> {
        let status = |entry: &Entry| match &entry.keys {
            Keys::Fixed(keys) => KeyStatus {
                ready: true,
                keys: keys.len(),
                age: None,
                error: None,
            },
            Keys::Live(live) => {
                let state = live.state();
                KeyStatus {
                    ready: live.is_fresh(&state),
                    keys: state.keys.as_ref().map_or(0, |keys| keys.len()),
                    age: state.fetched.map(|fetched| fetched.elapsed()),
                    error: state.error.clone(),
                }
            }
        };
        self.issuers
            .iter()
            .map(|entry| (Arc::clone(&entry.rules.name), status(entry)))
            .collect()
    }

    /// The one issuer whose `iss` the token has (RFC 7519, section 4.1.1); one without `iss` has
    /// the one issuer that asks for none.
    fn issuer_of(&self, read: &Unverified<'_>) -> Result<(usize, &Entry), TokenError> {
        let iss = match read.claims.get("iss") {
            None => None,
            Some(Value::String(iss)) => Some(iss.clone()),
            Some(_) => return Err(TokenError::IssuerUnknown),
        };
        self.by_iss
            .get(&iss)
            .and_then(|index| Some((*index, self.issuers.get(*index)?)))
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
            .entries(self.issuers.iter().map(|entry| &entry.rules.name))
            .finish()
    }
}

fn attempt(
    index: usize,
    entry: &Entry,
    read: &Unverified<'_>,
    now: UnixTime,
) -> Result<VerifiedToken, TokenError> {
    if !entry.rules.algorithms.contains(&read.algorithm) {
        return Err(TokenError::AlgorithmNotAllowed);
    }
    let (keys, generation) = match &entry.keys {
        Keys::Fixed(keys) => (Arc::clone(keys), 0),
        Keys::Live(live) => live.current()?,
    };
    keys.check(read.kid.as_deref(), read.algorithm, |key| {
        crypto::verify(key, read.algorithm, read.message, read.signature)
    })
    .map_err(|mismatch| mismatch.error(&entry.rules.name))?;
    let judged = rules::judge(&entry.rules, &read.claims, now)?;
    Ok(VerifiedToken {
        issuer: index,
        rules: Arc::clone(&entry.rules),
        generation,
        judged,
        claims: Arc::new(read.claims.clone()),
    })
}

fn build_keys(issuer: &Issuer, metrics: &Arc<Metrics>) -> Result<Keys, Vec<Fault>> {
    if let Some(keys) = keys::fixed(issuer)? {
        return Ok(Keys::Fixed(Arc::new(keys)));
    }
    let live = |source| {
        LiveKeys::new(
            Arc::clone(&issuer.name),
            source,
            issuer.jwks,
            Arc::clone(metrics),
        )
    };
    if let Some(remote) = Remote::build(issuer).map_err(|fault| vec![fault])? {
        return Ok(Keys::Live(Arc::new(live(Source::Remote(remote)))));
    }
    let KeySource::JwksFile(path) = &issuer.keys else {
        return Err(vec![Fault::new(
            &issuer.at,
            "the issuer has no keys",
            "one of secret, jwks_url, discovery_url, jwks_file, public_key_file",
        )]);
    };
    let keys = live(Source::File(path.clone()));
    let text = keys::read_file(path).map_err(|error| error.to_string());
    if !keys.take(text.as_deref().map_err(Clone::clone)) {
        let error = keys.state().error.clone().unwrap_or_default();
        return Err(vec![Fault::new(
            &issuer.at.key("jwks_file"),
            format!("{}: {error}", path.display()),
            "a readable JSON file with a JWK set (RFC 7517) of public keys",
        )]);
    }
    Ok(Keys::Live(Arc::new(keys)))
}
