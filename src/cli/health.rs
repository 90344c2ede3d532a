//! `health`: asks the running gateway's own admin listener whether it is ready.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use super::{Outcome, Stop};

/// Deadline of connecting, and of each read and write.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Largest answer that is read.
const ANSWER: u64 = 64 * 1024;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; left out, the default admin address 127.0.0.1:9090 is asked
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let address = match &arguments.config {
        Some(path) => super::load(path)?.config.admin.address,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
    };
    let answer = ask(reachable(address))
        .map_err(|error| Stop::Failed(format!("{address} does not answer: {error}")))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or((answer.as_str(), ""));
    if head.starts_with("HTTP/1.1 200 ") {
        return super::print(&format!("{}\n", body.trim_end()));
    }
    Err(Stop::Failed(format!("not ready: {}", body.trim_end())))
}

/// Where a listener on every address is reached from the same machine.
const fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), address.port())
        }
        _ => address,
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
