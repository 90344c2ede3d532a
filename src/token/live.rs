//! Live keys: an issuer's key set that changes while the gateway runs.
//!
//! One task on the control runtime owns each set: it fetches in the background, and once more when a
//! token names a key that the set does not have. Such a token cannot make it fetch more often than
//! once per [`COOLDOWN`], whatever it names and however the fetch ends; since that alone bounds a
//! flood, no unknown key id is ever remembered. The last good set serves until `max_stale`, then
//! the keys are unavailable. Nothing here follows a URL that a token names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use tokio::sync::{Notify, watch};

use super::error::TokenError;
use super::keys::{KeySet, read_file};
use super::remote::Remote;
use crate::config::JwksTimes;
use crate::net::Fetcher;
use crate::telemetry::Metrics;

/// Shortest time between two fetches that tokens ask for.
const COOLDOWN: Duration = Duration::from_secs(10);
/// Shortest wait, whatever is configured.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// First wait after a failure; it doubles up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest wait after failures.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Time between two looks at a key file.
const FILE_POLL: Duration = Duration::from_secs(1);

/// Where the set comes from.
pub(super) enum Source {
    /// A URL.
    Remote(Remote),
    /// A file.
    File(PathBuf),
}

/// A key set, and the task that keeps it fresh.
pub(super) struct LiveKeys {
    issuer: Arc<str>,
    source: Source,
    times: JwksTimes,
    state: ArcSwap<State>,
    progress: watch::Sender<Progress>,
    wanted: Notify,
    metrics: Arc<Metrics>,
}

/// What is known of the set.
pub(super) struct State {
    /// The last good set.
    pub(super) keys: Option<Arc<KeySet>>,
    /// When it was last had.
    pub(super) fetched: Option<Instant>,
    /// Changes whenever the set does.
    pub(super) generation: u64,
    /// Why the last attempt failed.
    pub(super) error: Option<String>,
}

#[derive(Default)]
struct Progress {
    running: bool,
    pending: bool,
    finished: u64,
    asked: Option<Instant>,
}

impl LiveKeys {
    pub(super) fn new(
        issuer: Arc<str>,
        source: Source,
        times: JwksTimes,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            issuer,
            source,
            times,
            state: ArcSwap::from_pointee(State {
                keys: None,
                fetched: None,
                generation: 0,
                error: None,
            }),
            progress: watch::Sender::new(Progress::default()),
            wanted: Notify::new(),
            metrics,
        }
    }

    /// What is known now.
    pub(super) fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// The set and its generation, unless there is none or it is too old.
    pub(super) fn current(&self) -> Result<(Arc<KeySet>, u64), TokenError> {
        let state = self.state.load();
        match &state.keys {
            Some(keys) if self.is_fresh(&state) => Ok((Arc::clone(keys), state.generation)),
            _ => Err(TokenError::KeysUnavailable(Arc::clone(&self.issuer))),
        }
    }

    /// Whether the set may still be used. A file cannot be out of reach for long without somebody
    /// knowing, so its last good content stays.
    pub(super) fn is_fresh(&self, state: &State) -> bool {
        match self.source {
            Source::File(_) => state.keys.is_some(),
            Source::Remote(_) => state
                .fetched
                .is_some_and(|fetched| fetched.elapsed() <= self.times.max_stale),
        }
    }

    /// Waits for one fetch: the one in flight, or a new one if tokens may ask for one now. `false`
    /// when there was nothing to wait for.
    pub(super) async fn refetch(&self) -> bool {
        let mut progress = self.progress.subscribe();
        let mut before = None;
        self.progress.send_if_modified(|progress| {
            let cooled = progress
                .asked
                .is_none_or(|asked| asked.elapsed() >= COOLDOWN);
            if progress.running && (progress.pending || cooled) {
                if !progress.pending {
                    progress.pending = true;
                    progress.asked = Some(Instant::now());
                    self.wanted.notify_one();
                }
                before = Some(progress.finished);
            }
            false
        });
        let Some(before) = before else {
            return false;
        };
        // Discovery takes two exchanges; the slack covers a busy machine.
        let longest = self.times.timeout * 2 + Duration::from_secs(1);
        let finished = progress.wait_for(|progress| progress.finished > before);
        matches!(tokio::time::timeout(longest, finished).await, Ok(Ok(_)))
    }

    /// Says that [`Self::run`] is about to fetch, so that tokens wait for it.
    pub(super) fn announce(&self) {
        self.progress.send_modify(|progress| {
            progress.running = true;
            progress.pending = true;
        });
    }

    /// Keeps the set fresh, for ever.
    pub(super) async fn run(self: Arc<Self>, fetcher: Fetcher) {
        let mut retry = FIRST_RETRY;
        loop {
            let good = self.refresh(&fetcher).await;
            let wait = match self.source {
                Source::File(_) => FILE_POLL,
                Source::Remote(_) if good => {
                    retry = FIRST_RETRY;
                    self.times.refresh
                }
                Source::Remote(_) => {
                    let wait = retry.min(self.times.refresh);
                    retry = (retry * 2).min(LONGEST_RETRY);
                    wait
                }
            };
            // A refresh of no time would never let go of the runtime.
            tokio::select! {
                () = tokio::time::sleep(wait.max(SHORTEST_WAIT)) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// One attempt; whether it gave a usable set.
    pub(super) async fn refresh(&self, fetcher: &Fetcher) -> bool {
        self.progress
            .send_modify(|progress| progress.pending = true);
        // From here to the end nobody asks for a fetch; one that was asked for is this one.
        let _ = self.wanted.notified().now_or_never();
        let text = match &self.source {
            Source::Remote(remote) => {
                self.metrics.jwks_fetches.inc();
                remote.fetch(fetcher, self.times.timeout).await
            }
            Source::File(path) => {
                let path = path.clone();
                match tokio::task::spawn_blocking(move || read_file(&path)).await {
                    Ok(read) => read.map(Into::into).map_err(|error| error.to_string()),
                    Err(_) => Err("the file cannot be read".to_owned()),
                }
            }
        };
        let good = self.take(text.as_deref().map_err(Clone::clone));
        if !good && matches!(self.source, Source::Remote(_)) {
            self.metrics.jwks_errors.inc();
        }
        self.progress.send_modify(|progress| {
            progress.pending = false;
            progress.finished += 1;
        });
        good
    }

    /// Takes in the text of a set, or why there is none; whether the set is good.
    pub(super) fn take(&self, text: Result<&[u8], String>) -> bool {
        let state = self.state.load();
        let read = text.and_then(|text| {
            if let Some(same) = state.keys.as_ref().filter(|keys| keys.is_of(text)) {
                return Ok(Arc::clone(same));
            }
            KeySet::from_jwks(&self.issuer, text)
                .map(Arc::new)
                .map_err(|error| error.to_string())
        });
        let next = match read {
            Ok(keys) => {
                let changed = state
                    .keys
                    .as_ref()
                    .is_none_or(|before| !Arc::ptr_eq(before, &keys));
                if changed {
                    tracing::info!(issuer = %self.issuer, keys = keys.len(), "new key set");
                }
                State {
                    keys: Some(keys),
                    fetched: Some(Instant::now()),
                    generation: state.generation + u64::from(changed),
                    error: None,
                }
            }
            Err(error) => {
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!(issuer = %self.issuer, %error, "the key set cannot be had");
                }
                State {
                    keys: state.keys.clone(),
                    fetched: state.fetched,
                    generation: state.generation,
                    error: Some(error),
                }
            }
        };
        let good = next.error.is_none();
        self.state.store(Arc::new(next));
        good
    }
}

#[cfg(test)]
mod tests;
