//! A link: a TCP path that can be held up, cut, and led elsewhere.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::wait::Watched;

/// What happens to the bytes of a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Open,
    /// Nothing passes, and nobody is told.
    Silent,
    Ended,
}

struct State {
    path: Path,
    target: u16,
    /// How often the connections were reset.
    resets: u64,
    streams: Vec<TcpStream>,
}

/// A port of its own that leads to another.
pub(crate) struct Link {
    port: u16,
    state: Arc<Watched<State>>,
}

impl Link {
    pub(crate) fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(Watched::new(State {
            path: Path::Open,
            target,
            resets: 0,
            streams: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (path, target) = shared.read(|state| (state.path, state.target));
                if path == Path::Ended {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || carry(client, target, &state));
            }
        });
        Self { port, state }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Lets no byte pass from now on; every socket stays open.
    pub(crate) fn go_silent(&self) {
        self.state.update(|state| state.path = Path::Silent);
    }

    /// Lets bytes pass again, also those that were held up.
    pub(crate) fn go_on(&self) {
        self.state.update(|state| state.path = Path::Open);
    }

    /// Resets every connection, as a firewall does that has forgotten them; new ones pass.
    pub(crate) fn reset(&self) {
        self.state.update(|state| {
            state.resets += 1;
            for stream in state.streams.drain(..) {
                // The last handle that is closed then sends a reset.
                socket2::SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .expect("an option");
                // Wakes who reads from it, and tells the other end nothing.
                let _ = stream.shutdown(Shutdown::Read);
            }
        });
    }

    /// Ends every connection, and leads new ones to this port.
    pub(crate) fn lead_to(&self, target: u16) {
        self.state.update(|state| {
            state.target = target;
            state.path = Path::Open;
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.update(|state| {
            state.path = Path::Ended;
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn carry(client: TcpStream, target: u16, state: &Arc<Watched<State>>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else {
        return;
    };
    let clone = |stream: &TcpStream| stream.try_clone().expect("a handle");
    state.update(|state| state.streams.extend([clone(&client), clone(&server)]));
    let back = (clone(&server), clone(&client), Arc::clone(state));
    let back = std::thread::spawn(move || one_way(back.0, back.1, &back.2));
    one_way(client, server, state);
    let _ = back.join();
}

fn one_way(mut from: TcpStream, mut to: TcpStream, state: &Watched<State>) {
    let mut buffer = [0; 16 * 1024];
    let resets = state.read(|state| state.resets);
    while let Ok(count) = from.read(&mut buffer) {
        // Waits as long as the link is silent, however long that is.
        let open = loop {
            let forever = Duration::from_hours(1);
            let path = state.within(forever, |state| {
                (state.path != Path::Silent).then_some(state.path)
            });
            if let Some(path) = path {
                break path == Path::Open;
            }
        };
        if count == 0 || !open || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    if state.read(|state| state.resets) == resets {
        let _ = to.shutdown(Shutdown::Write);
    }
}
