//! Redis pub/sub, on a connection of its own.
//!
//! Pub/sub delivers at most once, and a subscriber that is too slow is cut off; a lost connection is
//! told as such and never replaced behind our back. A PING on the subscribed connection notices a
//! half-open socket and a stopped server within [`BEAT`] and [`ANSWER`].

use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::time::{Instant, sleep_until};

use super::super::redis_text::blamed;
use super::inbox::Inbox;
use super::peer::{ANSWER, BEAT, Peer, Publisher};
use crate::config::{self, Fault};

pub(super) struct PubSub {
    client: Client,
    channel: String,
    /// The connection that publishes.
    publisher: Publisher<MultiplexedConnection>,
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
            publisher: Publisher::default(),
        })
    }

    /// Sends a message.
    pub(super) async fn publish(&self, message: &str) -> Result<(), String> {
        self.publisher.publish(self, message).await
    }

    /// One connection, from its beginning to its end.
    pub(super) async fn listen(&self, inbox: &Inbox) -> Result<(), String> {
        let connection = Self::in_time(self.client.get_async_pubsub()).await?;
        let (mut sink, mut stream) = connection.split();
        Self::in_time(sink.subscribe(&self.channel)).await?;
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
                        return Err(Self::blamed(&error));
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

impl Peer for PubSub {
    type Connection = MultiplexedConnection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Self::Connection, Self::Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(ANSWER));
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    async fn send(
        &self,
        connection: &mut Self::Connection,
        message: &str,
    ) -> Result<(), Self::Error> {
        redis::cmd("PUBLISH")
            .arg(&self.channel)
            .arg(message)
            .query_async::<i64>(connection)
            .await
            .map(drop)
    }

    fn blamed(error: &Self::Error) -> String {
        blamed(error)
    }
}
