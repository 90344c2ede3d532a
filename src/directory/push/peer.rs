//! Peer: the server at the other end of a channel, and the connection that messages go out on.
//!
//! Each kind of server says how it is reached and told something; how long it may take, and when a
//! connection to it is given up, is the same for all.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

/// Time between two heartbeats.
pub(super) const BEAT: Duration = Duration::from_secs(2);
/// How long a server may take for anything that is asked of it.
pub(super) const ANSWER: Duration = Duration::from_secs(3);

/// A server that carries messages.
pub(super) trait Peer: Sync {
    /// A connection to it.
    type Connection: Send;
    /// What its client library says when something fails.
    type Error: Send;

    /// Opens a connection that publishes.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Sends a message.
    fn send(
        &self,
        connection: &mut Self::Connection,
        message: &str,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The error as the log and `/readyz` tell it; it never holds the URL.
    fn blamed(error: &Self::Error) -> String;

    /// The outcome of `work`, which may take [`ANSWER`].
    fn in_time<T>(
        work: impl Future<Output = Result<T, Self::Error>> + Send,
    ) -> impl Future<Output = Result<T, String>> + Send {
        async {
            match timeout(ANSWER, work).await {
                Ok(done) => done.map_err(|error| Self::blamed(&error)),
                Err(_) => Err("the server does not answer".into()),
            }
        }
    }
}

/// The connection that publishes, kept from one message to the next.
#[derive(Debug)]
pub(super) struct Publisher<C>(Mutex<Option<C>>);

impl<C> Default for Publisher<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> Publisher<C> {
    /// Sends a message, on a new connection where the kept one has died.
    pub(super) async fn publish<P>(&self, peer: &P, message: &str) -> Result<(), String>
    where
        P: Peer<Connection = C>,
    {
        let mut kept = self.0.lock().await;
        // Taken out while it is used: a deadline that ends this closes it.
        if let Some(mut connection) = kept.take()
            && peer.send(&mut connection, message).await.is_ok()
        {
            *kept = Some(connection);
            return Ok(());
        }
        let connected = peer.connect().await;
        let mut connection = connected.map_err(|error| P::blamed(&error))?;
        let sent = peer.send(&mut connection, message).await;
        sent.map_err(|error| P::blamed(&error))?;
        *kept = Some(connection);
        Ok(())
    }
}
