//! The server: listeners, cores, signals, drain.
//!
//! Everything is built and every port is bound before anything is served: a configuration that
//! cannot be served is an error at start, with every mistake at once.

mod abort;
mod connection;
mod control;
mod core;
mod deadline;
pub(crate) mod listen;
mod proxy;
mod sending;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};

use crate::admin;
use crate::config::{Config, Fault};
use crate::drain::{Drain, Drainer};
use crate::gateway::Gateway;
use crate::telemetry::Metrics;

pub(crate) use control::Control;

/// How long the last audit lines may take once everything else has ended.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Time between two looks at the certificate files.
const CERTIFICATES: Duration = Duration::from_secs(1);

/// Why the server did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration cannot be served.
    #[error("the configuration cannot be served")]
    Config(Vec<Fault>),
    /// A port cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The operating system refused something else.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A core ended by itself.
    #[error("a data-path thread ended unexpectedly")]
    Core,
    /// Something was still open when the drain's time was over.
    #[error("the drain's time was over before everything had ended")]
    Drain,
}

/// A server that has bound its ports and built its rooms, and serves nothing yet.
pub struct Server {
    config: Config,
    control: Control,
    gateway: Arc<Gateway>,
    audit: JoinHandle<()>,
    cores: Vec<Vec<core::Socket>>,
    certificates: Vec<Arc<tls::Certificates>>,
    admin: std::net::TcpListener,
    /// Those that have asked for the end, by name, since it was built.
    signals: mpsc::Receiver<&'static str>,
}

/// What is wrong with the listeners' certificates, for `check`.
#[must_use]
pub fn certificate_faults(config: &Config) -> Vec<Fault> {
    config
        .listeners
        .iter()
        .filter_map(|listener| tls::Certificates::build(listener).err())
        .flatten()
        .collect()
}

impl Server {
    /// Builds every room and binds every port. From its end on SIGTERM and SIGINT no longer end the
    /// process by themselves: [`Server::run`] does.
    pub fn build(config: &Config) -> Result<Self, ServerError> {
        let config = config.clone();
        let control = Control::start()?;
        let metrics = Arc::new(Metrics::new());
        let mut faults = Vec::new();
        let mut keep =
            |outcome: Result<_, Vec<Fault>>| outcome.map_err(|found| faults.extend(found)).ok();
        let tls: Vec<_> = config
            .listeners
            .iter()
            .filter_map(|listener| keep(tls::Certificates::build(listener)))
            .collect();
        let gateway = match Gateway::build(&config, &metrics, control.handle()) {
            Ok(gateway) => Some(gateway),
            Err(found) => {
                faults.extend(found);
                None
            }
        };
        let (Some((gateway, audit)), true) = (gateway, faults.is_empty()) else {
            return Err(ServerError::Config(faults));
        };

        let admin_at = config.admin.address;
        let bind = |address, shared| {
            listen::bind(address, shared).map_err(|error| ServerError::Bind { address, error })
        };
        for listener in &config.listeners {
            let address = listener.address;
            listen::must_be_free(address).map_err(|error| ServerError::Bind { address, error })?;
        }
        let admin = bind(admin_at, false)?;
        let mut cores = Vec::new();
        for _ in 0..config.workers {
            let mut sockets = Vec::new();
            for (listener, certificates) in config.listeners.iter().zip(&tls) {
                let tls = match certificates {
                    Some(certificates) => {
                        let made = certificates.server_config().map_err(io::Error::other)?;
                        Some((Arc::new(made), Arc::clone(certificates)))
                    }
                    None => None,
                };
                sockets.push(core::Socket {
                    listener: listener.clone(),
                    bound: bind(listener.address, true)?,
                    tls,
                });
            }
            cores.push(sockets);
        }
        let certificates = tls.into_iter().flatten().collect();
        // Whatever needs a descriptor is had before the first client can take one.
        let signals = signals(&control)?;
        Ok(Self {
            config,
            control,
            gateway,
            audit,
            cores,
            certificates,
            admin,
            signals,
        })
    }

    /// Serves until SIGTERM or SIGINT, then drains. A second signal ends it at once. A signal that
    /// came since the server was built counts.
    pub fn run(self) -> Result<(), ServerError> {
        let Self {
            config,
            control,
            gateway,
            audit,
            cores,
            certificates,
            admin,
            signals,
        } = self;
        let (drainer, drain) = Drainer::new();
        let connections = Arc::new(Semaphore::new(config.limits.connections));
        let (built, ready) = std::sync::mpsc::channel();
        let (mut threads, mut gates) = (Vec::new(), Vec::new());
        for (index, sockets) in cores.into_iter().enumerate() {
            let (gateway, drain, connections) = (
                Arc::clone(&gateway),
                drain.clone(),
                Arc::clone(&connections),
            );
            let (built, (open, gate)) = (built.clone(), std::sync::mpsc::channel());
            let core = move || {
                let (runtime, outcome) = match core::runtime() {
                    Ok(runtime) => (Some(runtime), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // Nobody hears it, and the gate does not open, where another core has failed.
                let _ = built.send(outcome);
                drop(built);
                match (runtime, gate.recv()) {
                    (Some(runtime), Ok(())) => {
                        core::run(&runtime, gateway, sockets, drain, connections)
                    }
                    _ => Ok(()),
                }
            };
            threads.push(
                std::thread::Builder::new()
                    .name(format!("core-{index}"))
                    .spawn(core)?,
            );
            gates.push(open);
        }
        drop(built);
        for _ in &threads {
            ready.recv().map_err(|_| ServerError::Core)??;
        }
        gateway.start(control.handle());
        control.handle().spawn(watch_certificates(certificates));
        control.handle().spawn(admin::serve(
            admin,
            config.admin.clone(),
            Arc::clone(&gateway),
            drain.clone(),
        ));

        for gate in gates {
            gate.send(()).map_err(|_| ServerError::Core)?;
        }
        for listener in &config.listeners {
            let scheme = if listener.tls.is_empty() {
                "http"
            } else {
                "https"
            };
            tracing::info!(address = %listener.address, scheme, workers = config.workers, "listening");
        }
        tracing::info!(address = %config.admin.address, "admin listening");

        let outcome = control_flow(&control, signals, drainer, &drain, &config, &threads);
        if matches!(outcome, Err(ServerError::Core)) {
            return outcome;
        }
        for thread in threads {
            thread.join().map_err(|_| ServerError::Core)??;
        }
        // The sink's thread ends when its last handle is gone and its queue is written.
        drop((gateway, control));
        end_of_audit(audit);
        outcome
    }
}

/// Waits until the audit lines are written, as long as that can still be expected: a sink that takes
/// nothing, such as a pipe that nobody reads, must not keep the process.
fn end_of_audit(audit: JoinHandle<()>) {
    let deadline = Instant::now() + LAST_LINES;
    while !audit.is_finished() {
        if Instant::now() >= deadline {
            tracing::error!(
                "the audit sink takes nothing; lines that were waiting for it are lost"
            );
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = audit.join();
}

/// The signals that end the process, by name.
fn signals(control: &Control) -> io::Result<mpsc::Receiver<&'static str>> {
    let (signals, arrived) = mpsc::channel(2);
    let _guard = control.handle().enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    control.handle().spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if signals.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(arrived)
}

/// Waits for a signal, then drains.
fn control_flow(
    control: &Control,
    mut arrived: mpsc::Receiver<&'static str>,
    drainer: Drainer,
    drain: &Drain,
    config: &Config,
    threads: &[JoinHandle<io::Result<()>>],
) -> Result<(), ServerError> {
    let (delay, timeout) = (config.drain.delay, config.drain.timeout);
    let (done, outcome) = std::sync::mpsc::channel();
    let phase = drain.clone();
    control.handle().spawn(async move {
        let Some(name) = arrived.recv().await else {
            return;
        };
        tracing::info!(signal = name, "draining");
        drainer.not_ready();
        let orderly = async {
            tokio::time::sleep(delay).await;
            tracing::info!("no longer accepting");
            drainer.close(timeout).await
        };
        let ended = tokio::select! {
            ended = orderly => ended,
            _ = arrived.recv() => false,
        };
        let _ = done.send(ended);
    });
    loop {
        match outcome.recv_timeout(Duration::from_millis(500)) {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(ServerError::Drain),
            Err(_)
                if threads.iter().any(JoinHandle::is_finished)
                    && phase.phase() < crate::drain::Phase::Closing =>
            {
                return Err(ServerError::Core);
            }
            Err(_) => {}
        }
    }
}

async fn watch_certificates(certificates: Vec<Arc<tls::Certificates>>) {
    if certificates.is_empty() {
        return;
    }
    let mut tick = tokio::time::interval(CERTIFICATES);
    loop {
        tick.tick().await;
        for listener in &certificates {
            listener.refresh();
        }
    }
}
