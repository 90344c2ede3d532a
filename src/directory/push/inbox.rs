//! The inbox: what is done with what a channel brings.
//!
//! A message that can be read is applied at once. What cannot be read means everything, at most
//! once a second; it is waited for aside, so that garbage never holds up a message behind it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Channel, State};
use crate::directory::invalidation::Invalidation;
use crate::directory::service::Directory;

/// Garbage that means "everything" is applied at most this often.
const GARBAGE_INTERVAL: Duration = Duration::from_secs(1);

/// The directory is gone, and with it the reason to listen.
pub(super) struct Gone;

pub(super) struct Inbox {
    channel: Arc<Channel>,
    directory: Weak<Directory>,
    garbage: Notify,
}

impl Inbox {
    pub(super) fn new(channel: Arc<Channel>, directory: Weak<Directory>) -> Self {
        Self {
            channel,
            directory,
            garbage: Notify::new(),
        }
    }

    /// The channel is listened to: forgets what may have changed unheard, then lets records live
    /// their long life. Call this after LISTEN, and before anything that it brings is read.
    pub(super) async fn up(&self) -> Result<(), Gone> {
        let directory = self.directory.upgrade().ok_or(Gone)?;
        directory.invalidate(&Invalidation::All).await;
        self.channel.set(State::Up);
        directory.push_changed();
        tracing::info!(channel = self.channel.name(), "push is up");
        Ok(())
    }

    /// Nothing more will be heard: records live their short life from now on.
    pub(super) fn down(&self, problem: String) -> Result<(), Gone> {
        let directory = self.directory.upgrade().ok_or(Gone)?;
        let channel = self.channel.name();
        match self.channel.set(State::Down(problem.clone())) {
            State::Up => tracing::error!(
                channel,
                problem,
                "push is lost; ttl_without_push bounds staleness until it is back"
            ),
            State::Untried => tracing::error!(
                channel,
                problem,
                "push cannot be had; ttl_without_push bounds staleness"
            ),
            State::Down(_) => tracing::debug!(channel, problem, "push is still down"),
        }
        directory.push_changed();
        Ok(())
    }

    /// Applies a message. When this returns, it is in effect or waits among the garbage.
    pub(super) async fn receive(&self, message: &[u8]) -> Result<(), Gone> {
        let received = Instant::now();
        let directory = self.directory.upgrade().ok_or(Gone)?;
        let Some(what) = Invalidation::read(message) else {
            self.garbage.notify_one();
            return Ok(());
        };
        if Invalidation::says_revoked(message) {
            directory.hear_revocation();
        }
        directory.invalidate(&what).await;
        directory.metrics().applied_after(received.elapsed());
        Ok(())
    }

    /// Clears everything for garbage, until the directory is gone. One clearing serves all that came
    /// before it.
    pub(super) async fn clear_for_garbage(&self) {
        loop {
            self.garbage.notified().await;
            let Some(directory) = self.directory.upgrade() else {
                return;
            };
            tracing::warn!(
                channel = self.channel.name(),
                "an unreadable message; everything is forgotten"
            );
            directory.invalidate(&Invalidation::All).await;
            drop(directory);
            tokio::time::sleep(GARBAGE_INTERVAL).await;
        }
    }
}
