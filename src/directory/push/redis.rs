//! Redis pub/sub, on a connection of its own.
//!
//! Pub/sub delivers at most once, and a subscriber that is too slow is cut off; a lost connection is
//! told as such and never replaced behind our back. A PING on the subscribed connection notices a
//! half-open socket and a stopped server within [`BEAT`] and [`ANSWER`].

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::redis_text::blamed;
use super::inbox::Inbox;
use crate::config::{self, Fault};

/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(2);
/// How long the server may take for anything that is asked of it.
const ANSWER: Duration = Duration::from_secs(3);

pub(super) struct PubSub {
    client: Client,
    channel: String,
    /// The connection that publishes.
    publisher: Mutex<Option<MultiplexedConnection>>,
}

/// Without the client, which knows the password.
impl std::fmt::Debug for PubSub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PubSub")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl PubSub {
    pub(super) fn build(config: &config::RedisChannel) -> Result<Self, Vec<Fault>> {
        // The error can quote the URL, and so a password.
        let client = Client::open(config.url.value.expose()).map_err(|_| {
            vec![Fault::new(
                &config.url.at,
                "not a Redis URL",
                "redis://user:password@host:6379",
            )]
        })?;
        Ok(Self {
            client,
            channel: config.channel.clone(),
            publisher: Mutex::default(),
        })
    }

    /// Sends a message, on a new connection where the kept one has died.
    pub(super) async fn publish(&self, message: &str) -> Result<(), String> {
        let mut kept = self.publisher.lock().await;
        // Taken out while it is used: a deadline that ends this closes it.
        if let Some(mut connection) = kept.take()
            && self.send(&mut connection, message).await.is_ok()
        {
            *kept = Some(connection);
            return Ok(());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(ANSWER));
        let connected = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let mut connection = connected.map_err(|error| blamed(&error))?;
        let sent = self.send(&mut connection, message).await;
        sent.map_err(|error| blamed(&error))?;
        *kept = Some(connection);
        Ok(())
    }

    async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        message: &str,
    ) -> Result<(), RedisError> {
        redis::cmd("PUBLISH")
            .arg(&self.channel)
            .arg(message)
            .query_async::<i64>(connection)
            .await
            .map(drop)
    }

    /// One connection, from its beginning to its end.
    pub(super) async fn listen(&self, inbox: &Inbox) -> Result<(), String> {
        let connection = in_time(self.client.get_async_pubsub()).await?;
        let (mut sink, mut stream) = connection.split();
        in_time(sink.subscribe(&self.channel)).await?;
        if inbox.up().await.is_err() {
            return Ok(());
        }
        // When the next PING is to be sent, or the answer to the last is too late.
        let mut due = Instant::now() + BEAT;
        let mut ping = Box::pin(OptionFuture::default());
        let mut awaited = false;
        loop {
            tokio::select! {
                message = stream.next() => {
                    let Some(message) = message else {
                        return Err("the server closed the connection".into());
                    };
                    if inbox.receive(message.get_payload_bytes()).await.is_err() {
                        return Ok(());
                    }
                    // What stands in front of the answer is a sign of life too.
                    if awaited {
                        due = Instant::now() + ANSWER;
                    }
                }
                answer = &mut ping, if awaited => {
                    if let Some(Err(error)) = answer {
                        return Err(blamed(&error));
                    }
                    (awaited, due) = (false, Instant::now() + BEAT);
                }
                () = sleep_until(due) => {
                    if awaited {
                        return Err("the server does not answer".into());
                    }
                    let mut sink = sink.clone();
                    let sent = async move { sink.ping::<redis::Value>().await };
                    ping = Box::pin(OptionFuture::from(Some(sent)));
                    (awaited, due) = (true, Instant::now() + ANSWER);
                }
            }
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, RedisError>>) -> Result<T, String> {
    match timeout(ANSWER, work).await {
        Ok(done) => done.map_err(|error| blamed(&error)),
        Err(_) => Err("the server does not answer".into()),
    }
}
