//! What the gateway is built from: every room, once, before a port opens.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use smol_str::SmolStr;
use tokio::runtime::Handle;

use super::listed::OpenStreams;
use crate::audit::Audit;
use crate::auth::Authenticator;
use crate::config::{self, Config, Cors, Fault, Limits, Streams};
use crate::credential::Finder;
use crate::directory::{ChannelStatus, Directory, Revocations};
use crate::forward::Forwarder;
use crate::net::{Fetcher, TlsRoots};
use crate::route::{RouteTable, Tenants};
use crate::telemetry::Metrics;
use crate::token::{Asserter, Reissuer, Verifier};
use crate::upstream::Upstreams;

/// How long `check --connect` waits for each upstream.
const PROBE: Duration = Duration::from_secs(5);

/// What all cores share; built once, read without a lock.
pub struct Gateway {
    /// The process's numbers.
    pub metrics: Arc<Metrics>,
    /// Limits of the data path.
    pub limits: Limits,
    /// Cores that serve requests.
    pub workers: usize,
    /// How long a client may take to read what is written to it.
    pub write_timeout: Duration,
    pub(super) routes: RouteTable,
    pub(super) tenants: Arc<Tenants>,
    pub(super) finder: Finder,
    pub(super) authenticator: Authenticator,
    pub(super) forwarder: Forwarder,
    pub(super) asserter: Option<Arc<Asserter>>,
    pub(super) reissuer: Option<Arc<Reissuer>>,
    pub(super) credentials: Vec<config::Credential>,
    /// By credential: the Set-Cookie that deletes a dead session.
    pub(super) dead_cookies: Vec<Option<HeaderValue>>,
    pub(super) upstream_names: Vec<SmolStr>,
    pub(super) audit: Audit,
    pub(super) cors: Cors,
    pub(super) origins: Vec<String>,
    pub(super) echo: Option<config::Echo>,
    pub(super) streams: Streams,
    pub(super) open_streams: Arc<OpenStreams>,
    /// How long a stream goes on while the directory does not answer.
    pub(super) patience: Duration,
    pub(super) warn_age: Option<Duration>,
    pub(super) request_id_header: HeaderName,
    pub(super) endpoint: Option<String>,
    verifier: Arc<Verifier>,
    directory: Arc<Directory>,
    revocations: Arc<Revocations>,
    upstreams: Arc<Upstreams>,
}

impl Gateway {
    /// Builds every room and opens the audit sink. The thread ends when the gateway is dropped.
    pub fn build(
        config: &Config,
        metrics: &Arc<Metrics>,
        control: &Handle,
    ) -> Result<(Arc<Self>, JoinHandle<()>), Vec<Fault>> {
        Self::with_audit(config, &config.audit, metrics, control)
    }

    /// Builds every room for a look, with no audit file: `check` and `explain` decide nothing that
    /// has to be recorded.
    pub fn rooms(
        config: &Config,
        metrics: &Arc<Metrics>,
        control: &Handle,
    ) -> Result<Arc<Self>, Vec<Fault>> {
        let audit = config::Audit {
            sink: config::AuditSink::Stdout,
            ..config.audit.clone()
        };
        Self::with_audit(config, &audit, metrics, control).map(|(gateway, _)| gateway)
    }

    fn with_audit(
        config: &Config,
        audit: &config::Audit,
        metrics: &Arc<Metrics>,
        control: &Handle,
    ) -> Result<(Arc<Self>, JoinHandle<()>), Vec<Fault>> {
        let mut faults = Vec::new();
        let fetcher = Fetcher::new(&TlsRoots::system()).map_err(|error| {
            vec![Fault::new(
                &config::KeyPath::root(),
                error.to_string(),
                "a working TLS set-up",
            )]
        })?;
        let verifier = kept(
            Verifier::build(&config.issuers, fetcher, metrics),
            &mut faults,
        );
        let directory = kept(
            Directory::build(
                &config.directory,
                &config.tenants,
                Arc::clone(metrics),
                control.clone(),
            ),
            &mut faults,
        );
        let upstreams = kept(Upstreams::build(&config.upstreams), &mut faults);
        let asserter = config
            .identity
            .assertion
            .as_ref()
            .map(Asserter::build)
            .transpose();
        let asserter = kept(asserter, &mut faults).flatten().map(Arc::new);
        let reissuer = config
            .identity
            .reissue
            .as_ref()
            .map(|reissue| Reissuer::build(reissue, &config.issuers))
            .transpose();
        let reissuer = kept(reissuer, &mut faults).flatten().map(Arc::new);
        let sink = kept(Audit::build(audit, Arc::clone(metrics)), &mut faults);
        let (Some(verifier), Some(directory), Some(upstreams), Some((audit, writer)), true) =
            (verifier, directory, upstreams, sink, faults.is_empty())
        else {
            return Err(faults);
        };
        let (verifier, upstreams) = (Arc::new(verifier), Arc::new(upstreams));
        let revocations = Revocations::build(
            &config.revocations,
            &config.issuers,
            Arc::clone(&directory),
            control.clone(),
        )?;
        let tenants = Arc::new(Tenants::build(
            &config.tenants,
            &config.directory.source,
            Arc::clone(&directory),
        ));
        let endpoint = config
            .identity
            .reissue
            .as_ref()
            .and_then(|reissue| reissue.endpoint.clone());
        let gateway = Self {
            metrics: Arc::clone(metrics),
            limits: config.limits,
            workers: config.workers,
            write_timeout: longest_body_idle(config),
            routes: RouteTable::build(config),
            finder: Finder::build(&config.credentials),
            authenticator: Authenticator::build(
                config,
                Arc::clone(&verifier),
                Arc::clone(&directory),
                Arc::clone(&tenants),
                Arc::clone(&revocations),
            ),
            tenants,
            forwarder: Forwarder::build(config, asserter.clone(), reissuer.clone()),
            asserter,
            reissuer,
            credentials: config.credentials.clone(),
            dead_cookies: super::cookies::dead_cookies(&config.credentials),
            upstream_names: config
                .upstreams
                .iter()
                .map(|upstream| upstream.name.clone())
                .collect(),
            audit,
            cors: config.cors.clone(),
            origins: config.origins.allowed.clone(),
            echo: config.identity.echo.clone(),
            streams: config.streams,
            open_streams: Arc::default(),
            patience: config.directory.cache.ttl,
            warn_age: config.audit.warn_age,
            request_id_header: config.identity.headers.request_id.clone(),
            endpoint,
            verifier,
            directory,
            revocations,
            upstreams,
        };
        Ok((Arc::new(gateway), writer))
    }

    /// Starts what runs in the background: key sets, file watching.
    pub fn start(&self, control: &Handle) {
        self.verifier.start(control);
        if let Some(asserter) = &self.asserter {
            asserter.start(control);
        }
        self.directory.start();
        self.revocations.start();
    }

    /// The live mapping.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The streams that are open now.
    #[must_use]
    pub fn open_streams(&self) -> &OpenStreams {
        &self.open_streams
    }

    /// What is revoked.
    #[must_use]
    pub const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The keys.
    #[must_use]
    pub const fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// The backends.
    #[must_use]
    pub const fn upstreams(&self) -> &Arc<Upstreams> {
        &self.upstreams
    }

    /// Waits until every issuer has its keys, or has failed to get them, at most this long.
    pub async fn keys_settled(&self, most: Duration) {
        let settled = async {
            while self
                .verifier
                .status()
                .iter()
                .any(|(_, status)| !status.ready && status.error.is_none())
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(most, settled).await;
    }

    /// Waits until every push channel is up, or has failed, at most [`PROBE`].
    async fn channels_settled(&self) -> Vec<ChannelStatus> {
        let settled = async {
            while self
                .directory
                .status()
                .channels
                .iter()
                .any(|channel| !channel.tried)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(PROBE, settled).await;
        self.directory.status().channels
    }

    /// Tries the directory, the key sets and the upstreams.
    pub async fn probe(&self) -> Vec<(String, Result<String, String>)> {
        let mut outcomes = vec![(
            "directory".to_owned(),
            self.directory.probe().await.map(|()| "ok".to_owned()),
        )];
        let sessions = self.directory.probe_session_caches().await;
        outcomes.extend(sessions.map(|tried| ("sessions in redis".to_owned(), tried)));
        let blacklist = self.directory.probe_blacklist().await;
        outcomes.extend(blacklist.map(|tried| ("blacklist".to_owned(), tried)));
        for channel in self.channels_settled().await {
            let outcome = channel.problem.map_or_else(|| Ok("ok".to_owned()), Err);
            outcomes.push((format!("invalidation by {}", channel.channel), outcome));
        }
        self.keys_settled(PROBE).await;
        for (issuer, status) in self.verifier.status() {
            let outcome = if status.ready {
                Ok(format!("{} keys", status.keys))
            } else {
                Err(status.error.unwrap_or_else(|| "no keys yet".into()))
            };
            outcomes.push((format!("keys of {issuer}"), outcome));
        }
        for (index, name) in self.upstream_names.iter().enumerate() {
            let outcome = self.upstreams.probe(index, PROBE).await;
            outcomes.push((
                format!("upstream {name}"),
                outcome
                    .map(|()| "ok".to_owned())
                    .map_err(|error| error.to_string()),
            ));
        }
        outcomes
    }
}

fn kept<T>(outcome: Result<T, Vec<Fault>>, faults: &mut Vec<Fault>) -> Option<T> {
    outcome.map_err(|found| faults.extend(found)).ok()
}

fn longest_body_idle(config: &Config) -> Duration {
    config
        .routes
        .iter()
        .map(|route| route.timeouts.body_idle)
        .max()
        .unwrap_or(Duration::from_mins(1))
}
