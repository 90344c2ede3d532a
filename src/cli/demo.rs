//! `demo`: a sample upstream, an embedded directory and a gateway in one process.
//!
//! Nothing has to be installed or prepared. The directory is a file that can be edited while the
//! demo runs: a user who is moved in it acts in the new account at the next request.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Outcome, Stop};
use crate::config::{Config, Loaded, Server as UpstreamServer};
use crate::ids::{AccountId, IdError, TenantId, UserId};
use crate::server::{Control, Server};
use crate::telemetry::{self, Clock};
use crate::token::{MintRequest, mint_for};

/// The embedded configuration and its directory, as they stand in `config/`.
const CONFIG: &str = include_str!("../../config/demo.yaml");
const USERS: &str = include_str!("../../config/demo-users.yaml");
/// Life of the demo's tokens.
const TTL: Duration = Duration::from_hours(12);

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The gateway's port; 0 takes any free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The admin port; 0 takes any free one
    #[arg(long, default_value_t = 9090)]
    admin_port: u16,
}

/// A folder that is removed when the demo ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let failed =
        |what: &str, error: &dyn std::fmt::Display| Stop::Failed(format!("{what}: {error}"));
    let folder =
        folder().map_err(|error| failed("cannot make a folder for the directory file", &error))?;
    std::fs::write(folder.0.join("demo-users.yaml"), USERS)
        .map_err(|error| failed("cannot write the directory file", &error))?;
    let mut loaded = crate::config::parse(CONFIG, &folder.0, "demo.yaml", &|_| None)
        .map_err(|error| Stop::Failed(error.to_string()))?;

    let control = Control::start().map_err(|error| failed("cannot start", &error))?;
    let upstream = control
        .handle()
        .block_on(super::demo_upstream::start())
        .map_err(|error| failed("cannot start the sample upstream", &error))?;
    place(&mut loaded.config, upstream, arguments);
    telemetry::install(telemetry::LogFormat::Text);
    let text = story(&loaded, upstream, &folder.0)?;
    let server =
        Server::build(&loaded.config).map_err(|error| super::serve::stop(&loaded, &error))?;
    super::print(&text)?;
    server
        .run()
        .map_err(|error| super::serve::stop(&loaded, &error))
}

fn folder() -> std::io::Result<Folder> {
    let path = std::env::temp_dir().join(format!("countersign-demo-{}", std::process::id()));
    std::fs::create_dir_all(&path)?;
    Ok(Folder(path))
}

/// Puts the demo where its ports are free.
fn place(config: &mut Config, upstream: SocketAddr, arguments: &Arguments) {
    if let Some(listener) = config.listeners.first_mut() {
        listener.address = SocketAddr::from((Ipv4Addr::LOCALHOST, free(arguments.port)));
    }
    config.admin.address = SocketAddr::from((Ipv4Addr::LOCALHOST, free(arguments.admin_port)));
    for target in &mut config.upstreams {
        let (host, port) = (upstream.ip().to_string(), upstream.port());
        target.servers = vec![UpstreamServer {
            tls: false,
            host,
            port,
        }];
    }
    config.drain.delay = Duration::ZERO;
    config.workers = config.workers.min(2);
}

/// This port where it is free, else any that is.
fn free(port: u16) -> u16 {
    let bind = |port| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr())
    };
    bind(port)
        .or_else(|_| bind(0))
        .map_or(port, |address| address.port())
}

/// What runs where, and a line to paste for each story.
fn story(loaded: &Loaded, upstream: SocketAddr, folder: &Path) -> Result<String, Stop> {
    let config = &loaded.config;
    let port = config
        .listeners
        .first()
        .map_or(8080, |listener| listener.address.port());
    let anna = mint(config, "acme", "5", Some("12"))?;
    let moved = mint(config, "acme", "7", Some("12"))?;
    let file = folder.join("demo-users.yaml");
    let url = |tenant: &str, path: &str| format!("http://{tenant}.localhost:{port}{path}");
    let mut text = String::new();
    let mut say = |line: &str| {
        let _ = writeln!(text, "{line}");
    };
    say("Countersign demo: everything runs in this process. Ctrl-C ends it.\n");
    say(&format!(
        "  gateway          http://127.0.0.1:{port}   (tenants by host: acme.localhost, globex.localhost)"
    ));
    say(&format!(
        "  sample upstream  http://{upstream}   (shows what it received)"
    ));
    say(&format!(
        "  admin            http://{}   (/healthz, /readyz, /metrics)",
        config.admin.address
    ));
    say(&format!(
        "  directory        {}   (edit it while the demo runs)\n",
        file.display()
    ));
    say("Paste these lines into another terminal:\n");
    say("# 1. match: the token's account is the live one. Expect 200, user 5, account 12.");
    say(&format!(
        "curl -s {} -H 'Authorization: Bearer {anna}'\n",
        url("acme", "/orders")
    ));
    say("# 2. moved user: the token says account 12, the directory says 34.");
    say("#    Expect 200 in account 34, and the header X-Auth-Token-Stale: account.");
    say(&format!(
        "curl -si {} -H 'Authorization: Bearer {moved}'\n",
        url("acme", "/orders")
    ));
    say("# 3. other tenant: the token of acme's user 5 at globex, which has a user 5 too.");
    say("#    Expect 403 tenant_mismatch.");
    say(&format!(
        "curl -s {} -H 'Authorization: Bearer {anna}'\n",
        url("globex", "/orders")
    ));
    say("# 4. no token. Expect 401 credential_missing; the upstream sees nothing.");
    say(&format!("curl -s {}\n", url("acme", "/orders")));
    say("# 5. spoofed header: the client claims to be user 1. Expect 200 as user 5 all the same.");
    say(&format!(
        "curl -s {} -H 'X-Auth-User-Id: 1' -H 'X_Auth_User_Id: 1' -H 'Authorization: Bearer {anna}'\n",
        url("acme", "/orders")
    ));
    say(
        "# 6. websocket, token in the query. Expect 101 and a greeting that names user 5; curl stops after 2 s.",
    );
    say("#    The upstream never sees the token.");
    say(&format!(
        "curl -s -i -N --http1.1 --max-time 2 '{}' -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
         -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==' --output - ; echo\n",
        url("acme", &format!("/ws?token={anna}"))
    ));
    say(
        "# 7. public route: no token needed, and none of the identity headers is passed on. Expect 200.",
    );
    say(&format!(
        "curl -s {} -H 'X-Auth-User-Id: 1'\n",
        url("acme", "/public/hello")
    ));
    say("# 8. move user 5 to account 99, live, and ask again with the same token as in 1.");
    say("#    Expect 200 in account 99.");
    say(&format!(
        "sed -i.bak '/# anna/s/account: \"[0-9]*\"/account: \"99\"/' {} && sleep 1 && curl -s {} -H 'Authorization: Bearer {anna}'\n",
        file.display(),
        url("acme", "/orders")
    ));
    say("Audit lines follow on standard output, one per decision.\n");
    Ok(text)
}

fn mint(config: &Config, tenant: &str, user: &str, account: Option<&str>) -> Result<String, Stop> {
    let defect = |error: IdError| Stop::Failed(error.to_string());
    let issuer = config
        .issuers
        .first()
        .ok_or_else(|| Stop::Failed("the demo has no issuer".into()))?;
    let request = MintRequest {
        user: UserId::parse(user).map_err(defect)?,
        account: account.map(AccountId::parse).transpose().map_err(defect)?,
        tenant: Some(TenantId::parse(tenant).map_err(defect)?),
        ttl: TTL,
        integer_ids: false,
        claims: Vec::new(),
    };
    let now = Clock
        .now()
        .map_err(|error| Stop::Failed(error.to_string()))?;
    let token = mint_for(issuer, &request, now).map_err(|error| Stop::Failed(error.to_string()))?;
    Ok(token.expose().to_owned())
}
