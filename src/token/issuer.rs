//! Issuer: the rules and the keys of one configured issuer, side by side.
//!
//! Keys are looked for here and nowhere else, so that no token is ever held against another
//! issuer's.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::crypto;
use super::error::TokenError;
use super::keys::{self, KeySet, Mark};
use super::live::{LiveKeys, Source};
use super::public_key::family;
use super::remote::Remote;
use crate::config::{Fault, Issuer as Rules, KeySource};
use crate::telemetry::Metrics;

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

/// A configured issuer with its keys.
pub(super) struct Issuer {
    pub(super) rules: Arc<Rules>,
    keys: Keys,
}

enum Keys {
    Fixed(Arc<KeySet>),
    Live(Arc<LiveKeys>),
}

impl Issuer {
    /// Proves the algorithms and builds the keys; files are read, nothing is fetched.
    pub(super) fn build(rules: &Rules, metrics: &Arc<Metrics>) -> Result<Self, Vec<Fault>> {
        for algorithm in &rules.algorithms {
            crypto::self_test(family(*algorithm)).map_err(|error| {
                vec![Fault::new(
                    &rules.at.key("algorithms"),
                    error.to_string(),
                    "a build whose crypto library works",
                )]
            })?;
        }
        let keys = match keys::fixed(rules)? {
            Some(keys) => Keys::Fixed(Arc::new(keys)),
            None => Keys::Live(Arc::new(live(rules, metrics)?)),
        };
        Ok(Self {
            rules: Arc::new(rules.clone()),
            keys,
        })
    }

    /// The keys and their generation, which changes whenever they do.
    pub(super) fn keys(&self) -> Result<(Arc<KeySet>, u64), TokenError> {
        match &self.keys {
            Keys::Fixed(keys) => Ok((Arc::clone(keys), 0)),
            Keys::Live(live) => live.current(),
        }
    }

    /// Whether a key that was used in `generation` may still be, for that algorithm.
    pub(super) fn trusts(
        &self,
        used: u64,
        (mark, algorithm): &(Mark, Algorithm),
    ) -> Result<(), TokenError> {
        let (keys, generation) = self.keys()?;
        if used == generation || keys.has(mark, *algorithm) {
            Ok(())
        } else {
            Err(TokenError::KeyUnknown(Arc::clone(&self.rules.name)))
        }
    }

    /// The generation of keys that may be used now.
    pub(super) fn generation(&self) -> Option<u64> {
        match &self.keys {
            Keys::Fixed(_) => Some(0),
            Keys::Live(live) => {
                let state = live.state();
                live.is_fresh(&state).then_some(state.generation)
            }
        }
    }

    /// The keys that change while the gateway runs, if these do.
    pub(super) fn live(&self) -> Option<&Arc<LiveKeys>> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Live(live) => Some(live),
        }
    }

    pub(super) fn status(&self) -> KeyStatus {
        match &self.keys {
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
        }
    }
}

fn live(rules: &Rules, metrics: &Arc<Metrics>) -> Result<LiveKeys, Vec<Fault>> {
    let live = |source| {
        LiveKeys::new(
            Arc::clone(&rules.name),
            source,
            rules.jwks,
            Arc::clone(metrics),
        )
    };
    if let Some(remote) = Remote::build(rules).map_err(|fault| vec![fault])? {
        return Ok(live(Source::Remote(remote)));
    }
    let KeySource::JwksFile(path) = &rules.keys else {
        return Err(vec![Fault::new(
            &rules.at,
            "the issuer has no keys",
            "one of secret, jwks_url, discovery_url, jwks_file, public_key_file",
        )]);
    };
    let keys = live(Source::File(path.clone()));
    let text = keys::read_file(path).map_err(|error| error.to_string());
    if !keys.take(text.as_deref().map_err(Clone::clone)) {
        let error = keys.state().error.clone().unwrap_or_default();
        return Err(vec![Fault::new(
            &rules.at.key("jwks_file"),
            format!("{}: {error}", path.display()),
            "a readable JSON file with a JWK set (RFC 7517) of public keys",
        )]);
    }
    Ok(keys)
}
