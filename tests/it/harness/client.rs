//! A client that sends exact bytes over TCP or TLS and reads exact responses.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::message::{BodyEnd, Head, Wire};
use super::request::Request;
use super::tls::Authority;
use super::wait::PATIENCE;

/// A response as it came.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) end: BodyEnd,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The reason of a problem, or nothing.
    pub(crate) fn reason(&self) -> Option<String> {
        let problem: Value = serde_json::from_slice(&self.body).ok()?;
        Some(problem.get("reason")?.as_str()?.to_owned())
    }

    /// Fails, showing the whole response, unless it is the status that the test expects.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        let shown = || format!("{:?}\n{}", self.head, self.text());
        assert_eq!(self.status(), status, "{}", shown());
        self
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection to the gateway.
pub(crate) struct Client {
    wire: Wire<Box<dyn Stream>>,
    socket: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the gateway listens")
    }

    /// The same, where nobody may be listening any more.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let socket = open(address)?;
        let stream = socket.try_clone()?;
        Ok(Self {
            wire: Wire::new(Box::new(stream)),
            socket,
        })
    }

    /// Over TLS, with this server name, offering HTTP/1.1.
    pub(crate) fn tls(address: SocketAddr, name: &str, authority: &Authority) -> Self {
        Self::try_tls(address, name, authority).expect("a TLS handshake")
    }

    /// The same, where the handshake may fail.
    pub(crate) fn try_tls(
        address: SocketAddr,
        name: &str,
        authority: &Authority,
    ) -> io::Result<Self> {
        Self::try_tls_after(address, b"", name, authority)
    }

    /// The same, where these bytes stand before the handshake.
    pub(crate) fn try_tls_after(
        address: SocketAddr,
        before: &[u8],
        name: &str,
        authority: &Authority,
    ) -> io::Result<Self> {
        let mut socket = open(address)?;
        socket.write_all(before)?;
        let mut stream = authority.client_stream(socket.try_clone()?, name, b"http/1.1");
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self {
            wire: Wire::new(Box::new(stream)),
            socket,
        })
    }

    /// Sends these bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the gateway takes the bytes");
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.stream.write_all(bytes)?;
        self.wire.stream.flush()
    }

    /// Sends a request and reads its response.
    pub(crate) fn exchange(&mut self, request: &Request) -> Response {
        // A refusal may come, and the connection end, before the whole body was taken.
        let sent = self.try_send(&request.bytes());
        self.try_response(&request.method)
            .unwrap_or_else(|error| panic!("no response ({error}); sending: {sent:?}"))
    }

    /// The next response, to a request with this method; interim ones (1xx) are passed over.
    pub(crate) fn response(&mut self, method: &str) -> Response {
        self.try_response(method).expect("a response")
    }

    pub(crate) fn try_response(&mut self, method: &str) -> io::Result<Response> {
        loop {
            let head = self.try_head()?;
            if (100..200).contains(&head.status()) && head.status() != 101 {
                continue;
            }
            let mut body = Vec::new();
            let framing = head.response_framing(method);
            let end = self
                .wire
                .body(framing, &mut |bytes| body.extend_from_slice(bytes));
            return Ok(Response { head, body, end });
        }
    }

    /// The next head alone, interim ones included.
    pub(crate) fn head(&mut self) -> Head {
        self.try_head().expect("a response head")
    }

    pub(crate) fn try_head(&mut self) -> io::Result<Head> {
        self.wire
            .head()?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads the body of a response whose head was taken, giving each piece away.
    pub(crate) fn body(&mut self, head: &Head, sink: &mut dyn FnMut(&[u8])) -> BodyEnd {
        self.wire.body(head.response_framing("GET"), sink)
    }

    /// The next chunk of a chunked body.
    pub(crate) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        self.wire.chunk()
    }

    /// Everything up to the end of the connection; an abrupt end is an end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.wire.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => panic!("the connection is still open"),
                Err(_) => break,
            }
        }
        std::mem::take(&mut self.wire.pending)
    }

    /// The next bytes, whatever they are; an end in order is `UnexpectedEof`.
    pub(crate) fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.wire.pending.is_empty() && self.wire.fill()? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(std::mem::take(&mut self.wire.pending))
    }

    /// Whether the gateway sends nothing for this long.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).expect("a timeout");
        let read = self.wire.fill();
        let usual = self.socket.set_read_timeout(Some(PATIENCE));
        usual.expect("a timeout");
        matches!(read, Err(error) if is_timeout(&error))
    }

    /// Ends the connection abruptly.
    pub(crate) fn abort(self) {
        let socket = socket2::Socket::from(self.socket);
        let _ = socket.set_linger(Some(Duration::ZERO));
        drop(self.wire);
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
