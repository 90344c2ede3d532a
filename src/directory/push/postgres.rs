//! PostgreSQL's NOTIFY, on a connection of its own.
//!
//! A heartbeat goes the whole way that a message goes: a NOTIFY to a channel that only this
//! connection listens to, which has to come back in time. So a half-open socket, a server that was
//! stopped, and a pooler that hands LISTEN to one server connection and the rest to another
//! (pgbouncer in transaction mode) are noticed within [`BEAT`] and [`ANSWER`].

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener};
use sqlx::{Connection, Executor, Postgres};
use tokio::time::{Instant, sleep_until};

use super::inbox::Inbox;
use super::peer::{ANSWER, BEAT, Peer, Publisher};
use crate::config::{self, Fault};
use crate::directory::postgres::{blamed, options};

pub(super) struct Notify {
    options: PgConnectOptions,
    channel: String,
    /// The connection that publishes.
    publisher: Publisher<PgConnection>,
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notify")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl Notify {
    pub(super) fn build(config: &config::PostgresNotify) -> Result<Self, Vec<Fault>> {
        Ok(Self {
            options: options(&config.url, "countersign-push")?,
            channel: config.channel.clone(),
            publisher: Publisher::default(),
        })
    }

    /// Sends a message.
    pub(super) async fn publish(&self, message: &str) -> Result<(), String> {
        self.publisher.publish(self, message).await
    }

    /// One connection, from its beginning to its end.
    pub(super) async fn listen(&self, inbox: &Inbox) -> Result<(), String> {
        // The listener wants a pool; this one can never open a second connection beside the first,
        // and the first is only replaced after `try_recv` has said that it is lost, which ends this.
        let pool = PoolOptions::<Postgres>::new()
            .max_connections(1)
            .acquire_timeout(ANSWER)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(self.options.clone());
        let mut listener = Self::in_time(PgListener::connect_with(&pool)).await?;
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        let mut pulse = Pulse::new(&self.channel)?;
        Self::in_time(listener.listen_all([self.channel.as_str(), pulse.channel.as_str()])).await?;

        let mut is_up = false;
        loop {
            tokio::select! {
                received = listener.try_recv() => match received {
                    Ok(Some(heard)) => {
                        let own = heard.channel() == pulse.channel;
                        pulse.hear(own.then(|| heard.payload()));
                        if !own && inbox.receive(heard.payload().as_bytes()).await.is_err() {
                            return Ok(());
                        }
                        if own && !is_up {
                            is_up = true;
                            if inbox.up().await.is_err() {
                                return Ok(());
                            }
                        }
                    }
                    Ok(None) => return Err("the server closed the connection".into()),
                    Err(error) => return Err(Self::blamed(&error)),
                },
                () = sleep_until(pulse.due) => {
                    let beat = pulse.beat()?;
                    let beat = sqlx::query::<Postgres>("SELECT pg_catalog.pg_notify($1, $2)")
                        .bind(pulse.channel.clone())
                        .bind(beat);
                    Self::in_time((&mut listener).execute(beat)).await?;
                }
            }
        }
    }
}

impl Peer for Notify {
    type Connection = PgConnection;
    type Error = sqlx::Error;

    async fn connect(&self) -> Result<Self::Connection, Self::Error> {
        PgConnection::connect_with(&self.options).await
    }

    async fn send(&self, connection: &mut PgConnection, message: &str) -> Result<(), Self::Error> {
        sqlx::query::<Postgres>("SELECT pg_catalog.pg_notify($1, $2)")
            .bind(self.channel.clone())
            .bind(message.to_owned())
            .execute(connection)
            .await
            .map(drop)
    }

    fn blamed(error: &Self::Error) -> String {
        blamed(error)
    }
}

/// The heartbeat.
struct Pulse {
    /// The channel that only this connection listens to.
    channel: String,
    count: u64,
    awaited: Option<u64>,
    /// When the next beat is to be sent, or the awaited one is too late.
    due: Instant,
}

impl Pulse {
    fn new(channel: &str) -> Result<Self, String> {
        let mut nonce = [0; 8];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| "no random numbers")?;
        Ok(Self {
            channel: format!("{channel}_{:016x}", u64::from_be_bytes(nonce)),
            count: 0,
            awaited: None,
            due: Instant::now(),
        })
    }

    /// The next beat's payload.
    fn beat(&mut self) -> Result<String, String> {
        if self.awaited.is_some() {
            return Err("the heartbeat did not come back; a stopped server, a dead connection, or a pooler in transaction mode".into());
        }
        self.count += 1;
        self.awaited = Some(self.count);
        self.due = Instant::now() + ANSWER;
        Ok(self.count.to_string())
    }

    /// Something came: the beat itself, or a message in front of it.
    fn hear(&mut self, beat: Option<&str>) {
        if beat.is_some_and(|beat| {
            self.awaited
                .is_some_and(|awaited| beat == awaited.to_string())
        }) {
            self.awaited = None;
            self.due = Instant::now() + BEAT;
        } else if self.awaited.is_some() {
            self.due = Instant::now() + ANSWER;
        }
    }
}
