//! WebSockets by an implementation that is not the gateway's: both ends.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use super::client::Response;
use super::exchange::{Exchange, answer_by_default};
use super::message::Wire;
use super::request::Request;
use super::wait::PATIENCE;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The client's end of a WebSocket through the gateway.
pub(crate) struct WebSocket(tungstenite::WebSocket<TcpStream>);

/// What ended a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(u16),
    Abruptly,
}

/// The fields that make a request a WebSocket handshake (RFC 6455, section 4.1).
pub(crate) fn upgrade_headers(request: Request) -> Request {
    request
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

impl WebSocket {
    /// Opens one with this request, which must be a handshake.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr, request: &Request) -> Self {
        match Self::try_open(address, request) {
            Ok((socket, _)) => socket,
            Err(response) => panic!("refused: {:?}\n{}", response.head, response.text()),
        }
    }

    /// The same, giving the response either way.
    pub(crate) fn try_open(
        address: SocketAddr,
        request: &Request,
    ) -> Result<(Self, Response), Box<Response>> {
        use std::io::Write as _;
        let stream = TcpStream::connect(address).expect("the gateway listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let mut wire = Wire::new(stream);
        wire.stream.write_all(&request.bytes()).expect("sent");
        let head = wire.head().expect("a response").expect("a response");
        let mut body = Vec::new();
        let framing = head.response_framing("GET");
        let switched = head.status() == 101;
        let end = wire.body(framing, &mut |bytes| body.extend_from_slice(bytes));
        let response = Response { head, body, end };
        if !switched {
            return Err(Box::new(response));
        }
        assert_eq!(
            response.header("sec-websocket-accept"),
            Some(derive_accept_key(KEY.as_bytes()).as_str())
        );
        let socket = tungstenite::WebSocket::from_partially_read(
            wire.stream,
            wire.pending,
            Role::Client,
            Some(config()),
        );
        Ok((Self(socket), response))
    }

    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("sent");
    }

    /// Sends, whether or not somebody still takes it.
    pub(crate) fn try_send(&mut self, text: &str) -> bool {
        self.0.send(Message::text(text)).is_ok()
    }

    pub(crate) fn send_binary(&mut self, data: Vec<u8>) {
        self.0.send(Message::binary(data)).expect("sent");
    }

    /// Sends one message in these pieces.
    pub(crate) fn send_fragments(&mut self, pieces: &[&[u8]]) {
        for (index, piece) in pieces.iter().enumerate() {
            let first = index == 0;
            let header = FrameHeader {
                is_final: index + 1 == pieces.len(),
                opcode: OpCode::Data(if first { Data::Binary } else { Data::Continue }),
                mask: None,
                ..FrameHeader::default()
            };
            let frame = Frame::from_payload(header, piece.to_vec().into());
            self.0.send(Message::Frame(frame)).expect("sent");
        }
    }

    /// The next message with data.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        loop {
            match self.0.read().expect("a message") {
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(frame) => panic!("closed: {frame:?}"),
                message => return message.into_data().to_vec(),
            }
        }
    }

    /// The next message with data, or nothing where the WebSocket has ended.
    pub(crate) fn try_receive(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.0.read() {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) => return None,
                Ok(message) => return Some(message.into_data().to_vec()),
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {
                    panic!("the WebSocket is silent");
                }
                Err(_) => return None,
            }
        }
    }

    #[track_caller]
    pub(crate) fn echo(&mut self, text: &str) {
        self.send(text);
        assert_eq!(String::from_utf8_lossy(&self.receive()), text);
    }

    /// Waits until the other side ends it.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Ended {
        loop {
            match self.0.read() {
                Ok(Message::Close(Some(frame))) => return Ended::Code(frame.code.into()),
                Ok(Message::Close(None)) => return Ended::Code(1005),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {
                    panic!("the WebSocket is still open");
                }
                Err(_) => return Ended::Abruptly,
            }
        }
    }

    /// Whether nothing arrives for this long.
    pub(crate) fn is_quiet_for(&mut self, time: Duration) -> bool {
        let set = |socket: &TcpStream, time| socket.set_read_timeout(Some(time)).expect("set");
        set(self.0.get_ref(), time);
        let read = self.0.read();
        set(self.0.get_ref(), PATIENCE);
        matches!(read, Err(tungstenite::Error::Io(error)) if is_timeout(&error))
    }

    pub(crate) fn close(&mut self) {
        let _ = self.0.close(None);
        while self.0.read().is_ok() {}
    }
}

/// Answers a handshake and sends every message back, until the other side closes; gives the code.
pub(crate) fn echo_messages(exchange: &mut Exchange<'_>) -> Option<u16> {
    let Some(mut socket) = accept(exchange, None) else {
        exchange.respond(400, &[], b"not a handshake");
        return None;
    };
    let code = loop {
        match socket.read() {
            Ok(Message::Close(frame)) => break frame.map(|frame| frame.code.into()),
            Ok(message) if message.is_text() || message.is_binary() => {
                if socket.send(message).is_err() {
                    break None;
                }
            }
            Ok(_) => {}
            Err(_) => break None,
        }
    };
    while socket.read().is_ok() {}
    drop(socket);
    exchange.close();
    code
}

/// Echoes messages behind `/ws`, and answers any other request as usual.
pub(crate) fn echo_on_ws(exchange: &mut Exchange<'_>) {
    if exchange.path() == "/ws" {
        echo_messages(exchange);
    } else {
        answer_by_default(exchange);
    }
}

/// Answers a handshake at the upstream, selecting this subprotocol.
pub(crate) fn accept<'a>(
    exchange: &'a mut Exchange<'_>,
    protocol: Option<&str>,
) -> Option<tungstenite::WebSocket<&'a mut super::recorder::Tap>> {
    let key = exchange.head.get("sec-websocket-key")?.to_owned();
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        derive_accept_key(key.as_bytes())
    );
    if let Some(protocol) = protocol {
        let _ = write!(answer, "Sec-WebSocket-Protocol: {protocol}\r\n");
    }
    answer.push_str("\r\n");
    exchange.send(answer.as_bytes());
    let part = std::mem::take(&mut exchange.wire.pending);
    Some(tungstenite::WebSocket::from_partially_read(
        &mut exchange.wire.stream,
        part,
        Role::Server,
        Some(config()),
    ))
}

fn config() -> WebSocketConfig {
    const LARGEST: usize = 64 << 20;
    WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST))
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}
