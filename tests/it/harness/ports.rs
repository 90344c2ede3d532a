//! Free ports for listeners that others will open.
//!
//! They come from below the range that the kernel uses for outgoing connections, so that no client
//! of a test running beside takes one between the look and the bind.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const LOWEST: u32 = 11_000;
const COUNT: u32 = 21_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 that nobody listens on and that no one in this process was given before.
pub(crate) fn free_port() -> u16 {
    let offset = std::process::id().wrapping_mul(641);
    for _ in 0..COUNT {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = LOWEST + offset.wrapping_add(turn) % COUNT;
        let port = u16::try_from(port).expect("below 32768");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port left");
}
