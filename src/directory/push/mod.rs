//! Push: channels over which others say what has changed.
//!
//! Each channel has a line of its own (`line.rs`): a thread with one connection, which never
//! reconnects behind our back. When a connection is lost, records live `ttl_without_push` from that
//! moment on; when there is a new one, the line listens first, then everything is forgotten, then
//! records live `ttl` again. So a message that nobody heard cannot leave an old answer behind.
//!
//! A message only names what to read again (`inbox.rs`), so whoever can write into a channel can
//! cost look-ups and nothing else.

mod again;
mod inbox;
mod line;
mod outbox;
mod peer;
mod postgres;
mod redis;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::service::Directory;
use crate::config::{self, Fault};

pub(super) use again::Again;
use outbox::Outbox;
use postgres::Notify;
use redis::PubSub;

/// Longest wait for the publication of one message.
const PUBLISH: Duration = Duration::from_secs(2);

/// How a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Its name in the configuration: `postgres_notify`, `redis`, `outbox`.
    pub channel: &'static str,
    /// Whether messages arrive.
    pub up: bool,
    /// Whether it has been up, or has failed, since the start.
    pub tried: bool,
    /// Why it is down.
    pub problem: Option<String>,
}

/// Every configured channel.
#[derive(Debug)]
pub(super) struct Push {
    channels: Vec<Arc<Channel>>,
}

#[derive(Debug)]
pub(super) struct Channel {
    kind: Kind,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Kind {
    Postgres(Notify),
    Redis(PubSub),
    Outbox(Outbox),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Untried,
    Up,
    Down(String),
}

impl Push {
    pub(super) fn build(config: &config::Invalidation) -> Result<Self, Vec<Fault>> {
        let mut channels = Vec::new();
        if let Some(notify) = &config.postgres_notify {
            channels.push(Channel::new(Kind::Postgres(Notify::build(notify)?)));
        }
        if let Some(redis) = &config.redis {
            channels.push(Channel::new(Kind::Redis(PubSub::build(redis)?)));
        }
        if let Some(outbox) = &config.outbox {
            channels.push(Channel::new(Kind::Outbox(Outbox::build(outbox)?)));
        }
        Ok(Self { channels })
    }

    /// Starts a line for each channel; they end with the directory.
    pub(super) fn start(&self, directory: &Weak<Directory>) {
        for channel in &self.channels {
            line::start(Arc::clone(channel), Weak::clone(directory));
        }
    }

    /// Whether there is a channel and none is down. With two, each may carry what the other does
    /// not.
    pub(super) fn up(&self) -> bool {
        !self.channels.is_empty() && self.channels.iter().all(|channel| channel.is_up())
    }

    pub(super) fn status(&self) -> Vec<ChannelStatus> {
        self.channels
            .iter()
            .map(|channel| channel.status())
            .collect()
    }

    /// Tells the other replicas; whether at least one channel took it.
    pub(super) async fn publish(&self, message: &str) -> bool {
        let mut published = false;
        for channel in &self.channels {
            match tokio::time::timeout(PUBLISH, channel.publish(message)).await {
                Ok(Ok(())) => published = true,
                Ok(Err(problem)) => {
                    tracing::warn!(channel = channel.name(), problem, "cannot publish");
                }
                Err(_) => tracing::warn!(channel = channel.name(), "publishing takes too long"),
            }
        }
        published
    }
}

impl Channel {
    fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            kind,
            state: Mutex::default(),
        })
    }

    const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Postgres(_) => "postgres_notify",
            Kind::Redis(_) => "redis",
            Kind::Outbox(_) => "outbox",
        }
    }

    async fn publish(&self, message: &str) -> Result<(), String> {
        match &self.kind {
            Kind::Postgres(notify) => notify.publish(message).await,
            Kind::Redis(redis) => redis.publish(message).await,
            Kind::Outbox(outbox) => outbox.publish(message).await,
        }
    }

    /// One connection, from its beginning to its end; the error says what ended it.
    async fn listen(&self, inbox: &inbox::Inbox) -> Result<(), String> {
        match &self.kind {
            Kind::Postgres(notify) => notify.listen(inbox).await,
            Kind::Redis(redis) => redis.listen(inbox).await,
            Kind::Outbox(outbox) => outbox.listen(inbox).await,
        }
    }

    fn is_up(&self) -> bool {
        matches!(*self.lock(), State::Up)
    }

    fn status(&self) -> ChannelStatus {
        let state = self.lock();
        ChannelStatus {
            channel: self.name(),
            up: matches!(*state, State::Up),
            tried: !matches!(*state, State::Untried),
            problem: match &*state {
                State::Down(problem) => Some(problem.clone()),
                State::Untried => Some("connecting".into()),
                State::Up => None,
            },
        }
    }

    fn set(&self, state: State) -> State {
        std::mem::replace(&mut *self.lock(), state)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Replaced in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
