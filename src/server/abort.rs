//! Abort: how a connection ends by a reset instead of in order, so that its client cannot take a
//! response that broke off for a whole one.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A socket that can be made to end by a reset when it is dropped.
pub(super) trait Abort {
    /// From now on dropping it resets the connection.
    fn abort(&self);
}

impl Abort for TcpStream {
    fn abort(&self) {
        // Where the option is refused the drop still closes the connection.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Abort for TlsStream<TcpStream> {
    fn abort(&self) {
        self.get_ref().0.abort();
    }
}
