//! What the steps of a decision cost, each by itself.
//!
//!     cargo bench --bench micro               # everything, in a few seconds
//!     cargo bench --bench micro -- verify     # what has this in its name
//!
//! Times are of this machine at this moment: they say what a step is worth beside the others, and
//! which one a change has moved. `benches/instructions` holds the whole request to a figure.
//! `cargo test` runs each once, so that none stops working unseen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that meets the unexpected ends on the spot"
)]
#![allow(missing_docs, reason = "a bench has no users")]

#[path = "../tests/it/harness/tokens.rs"]
#[allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "what the tests' own file has is not all needed here"
)]
mod tokens;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use countersign::auth::{Ask, Authenticator, Evidence, Known, OriginFacts, VerifiedTokens};
use countersign::config::{self, Config};
use countersign::credential::{Carriers, Finder, RepeatedCookie};
use countersign::directory::Live;
use countersign::forward::{Forwarder, RequestBody};
use countersign::gateway::{self, Gateway};
use countersign::ids::{TenantId, UserId};
use countersign::route::{RouteTable, TenantAnswer, TenantBasis, Tenants};
use countersign::telemetry::{Clock, Metrics, Trace};
use countersign::wire::{CanonicalPath, ConnectionInfo, Memo, RawRequest};
use divan::{Bencher, black_box};
use futures_util::FutureExt as _;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use serde_json::json;
use tokens::Key;
use tokio::runtime::Runtime;

const ALGORITHMS: [&str; 4] = ["HS256", "RS256", "ES256", "EdDSA"];
const SECRET: &str = "a-secret-of-the-benches-0123456789-abcdefghij";
/// Bytes of a core's memory for tokens, as the default gives a core of two.
const MEMORY: usize = 24 * 1024 * 1024;

fn main() {
    divan::main();
}

/// A gateway with an issuer for each algorithm, and a token of each.
struct World {
    config: Config,
    gateway: Arc<Gateway>,
    authenticator: Authenticator,
    forwarder: Forwarder,
    tokens: Vec<(&'static str, String)>,
    /// What runs the gateway's look-ups.
    runtime: Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut issuers = String::new();
        let mut tokens = Vec::new();
        for algorithm in ALGORITHMS {
            let (key, source) = if algorithm == "HS256" {
                (
                    Key::secret(algorithm, SECRET),
                    "secret: \"${SECRET}\"".to_owned(),
                )
            } else {
                let key = Key::generate(algorithm);
                let set = json!({ "keys": [key.jwk()] }).to_string();
                std::fs::write(folder.path().join(format!("{algorithm}.json")), set).unwrap();
                (key, format!("jwks_file: {algorithm}.json"))
            };
            writeln!(issuers, "  - {{ name: {algorithm}, issuer: {algorithm}, audiences: [bench], algorithms: [{algorithm}], {source}, claims: {{ user: sub, account: account_id }} }}").unwrap();
            tokens.push((algorithm, token(&key, algorithm)));
        }
        std::fs::write(
            folder.path().join("users.yaml"),
            "users: [ { user: \"5\", account: \"12\", roles: [member] } ]\n",
        )
        .unwrap();
        let text = format!(
            "issuers:\n{issuers}credentials: [ {{ bearer: {{ forward: keep }} }} ]\n\
             directory: {{ source: {{ file: {{ path: users.yaml }} }}, cache: {{ ttl: 1h, ttl_without_push: 1h }} }}\n\
             upstreams: [ {{ name: app, servers: [\"http://127.0.0.1:8000\"] }} ]\n\
             routes: [ {{ match: {{ path: / }}, access: member, upstream: app }} ]\n"
        );
        let config = configuration(&text, folder.path());
        // Its look-ups run on this runtime; nothing here waits for the network.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let gateway = Gateway::rooms(&config, &Arc::new(Metrics::new()), runtime.handle());
        let gateway = gateway.unwrap_or_else(|faults| panic!("{faults:?}"));
        gateway.start(runtime.handle());
        runtime.block_on(gateway.keys_settled(std::time::Duration::from_secs(5)));
        let tenants = Tenants::build(
            &config.tenants,
            &config.directory.source,
            Arc::clone(gateway.directory()),
        );
        let authenticator = Authenticator::build(
            &config,
            Arc::clone(gateway.verifier()),
            Arc::clone(gateway.directory()),
            Arc::new(tenants),
            Arc::clone(gateway.revocations()),
        );
        let forwarder = Forwarder::build(&config, None, None);
        Self {
            config,
            gateway,
            authenticator,
            forwarder,
            tokens,
            runtime,
        }
    }

    fn token(&self, algorithm: &str) -> &str {
        let found = self.tokens.iter().find(|(name, _)| *name == algorithm);
        &found.unwrap().1
    }

    /// The head that `benches/instructions` sends.
    fn head(&self, path: &str) -> Parts {
        let request = Request::get(path)
            .header(HOST, "app.test")
            .header("User-Agent", "count/1")
            .header("Accept", "*/*")
            .header("Accept-Encoding", "gzip")
            .header("Cookie", "theme=dark; lang=en")
            .header("Authorization", format!("Bearer {}", self.token("HS256")));
        request.body(()).unwrap().into_parts().0
    }

    fn read(&self, mut head: Parts, connection: &ConnectionInfo) -> RawRequest {
        let id = HeaderName::from_static("x-request-id");
        let read = RawRequest::read(&mut head, false, connection, &self.config.limits, &id);
        read.unwrap_or_else(|unreadable| panic!("{:?}", unreadable.error))
    }
}

fn configuration(text: &str, folder: &std::path::Path) -> Config {
    let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    let loaded = config::parse(text, folder, "bench.yaml", &environment);
    loaded.unwrap_or_else(|error| panic!("{error}")).config
}

fn token(key: &Key, issuer: &str) -> String {
    let now = tokens::now();
    key.token(&json!({
        "iss": issuer, "aud": "bench", "sub": "5", "account_id": "12", "iat": now, "exp": now + 3600,
        "jti": "0".repeat(32), "token_type": "access",
    }))
}

/// The connection that a client keeps.
fn connection() -> ConnectionInfo {
    ConnectionInfo {
        peer: SocketAddr::from(([127, 0, 0, 1], 4000)),
        local: SocketAddr::from(([127, 0, 0, 1], 8080)),
        tls: false,
        server_name: None,
        trusted_proxies: Arc::from([]),
        memo: Memo::default(),
    }
}

/// A token verified anew: read, its key found, its signature checked, its claims judged.
#[divan::bench(args = ALGORITHMS)]
fn verify_token(bencher: Bencher<'_, '_>, algorithm: &str) {
    let world = &*WORLD;
    let (token, now) = (world.token(algorithm), Clock.now().unwrap());
    bencher.bench(|| {
        world
            .gateway
            .verifier()
            .try_verify(black_box(token), now)
            .unwrap()
    });
}

/// A token that this core has verified before, found and asked whether it still holds.
#[divan::bench]
fn remembered_token(bencher: Bencher<'_, '_>) {
    let world = &*WORLD;
    let (verifier, now) = (world.gateway.verifier(), Clock.now().unwrap());
    let known = VerifiedTokens::of_bytes(MEMORY);
    let token = world.token("HS256");
    let once = verifier.try_verify(token, now).unwrap();
    known.keep(token.as_bytes().into(), Arc::new(once), 2048);
    let find = || {
        known.find(
            black_box(token.as_bytes()),
            |one| verifier.still_holds(one, now),
            Arc::clone,
        )
    };
    bencher.bench_local(|| find().unwrap());
}

/// A live record that the cache holds.
#[divan::bench]
fn directory_hit(bencher: Bencher<'_, '_>) {
    let world = &*WORLD;
    let (tenant, user) = (
        TenantId::parse("default").unwrap(),
        UserId::parse("5").unwrap(),
    );
    let lookup: Arc<str> = Arc::from("default");
    let directory = world.gateway.directory();
    let near = directory.near();
    let live = || directory.live_near(&tenant, &lookup, black_box(&user), &near);
    assert!(matches!(world.runtime.block_on(live()), Ok(Live::Known(_))));
    bencher.bench_local(|| live().now_or_never().unwrap().unwrap());
}

/// A path made canonical: one as most are, and one that has to be decoded.
#[divan::bench(args = ["/api/v1/orders/4711/items", "/api/%76%31/caf%C3%A9/a%20b"])]
fn read_path(path: &str) -> CanonicalPath {
    CanonicalPath::parse(black_box(path)).unwrap()
}

/// A head read: host, path, cookies, framing, forwarding fields.
#[divan::bench]
fn read_head(bencher: Bencher<'_, '_>) {
    let world = &*WORLD;
    let (head, connection) = (world.head("/items/1?page=2"), connection());
    bencher
        .with_inputs(|| head.clone())
        .bench_local_values(|head| world.read(head, &connection));
}

/// What the client may not say taken away, and the forwarding fields rebuilt.
#[divan::bench]
fn sanitise(bencher: Bencher<'_, '_>) {
    let world = &*WORLD;
    let (head, connection) = (world.head("/items/1?page=2"), connection());
    bencher
        .with_inputs(|| {
            (
                world.read(head.clone(), &connection),
                RequestBody::empty().0,
            )
        })
        .bench_local_values(|(raw, body)| world.forwarder.sanitize(raw, body, &connection));
}

/// The same, with fields that a spoofing client sends.
#[divan::bench]
fn sanitise_spoofed(bencher: Bencher<'_, '_>) {
    let world = &*WORLD;
    let (mut head, connection) = (world.head("/items/1?page=2"), connection());
    for name in [
        "x-auth-user-id",
        "x_auth_account_id",
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "remote-user",
    ] {
        head.headers
            .append(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    bencher
        .with_inputs(|| {
            (
                world.read(head.clone(), &connection),
                RequestBody::empty().0,
            )
        })
        .bench_local_values(|(raw, body)| world.forwarder.sanitize(raw, body, &connection));
}

/// A request's route among so many, the path five segments deep.
#[divan::bench(args = [10, 10_000])]
fn match_route(bencher: Bencher<'_, '_>, routes: usize) {
    let world = &*WORLD;
    let mut config = world.config.clone();
    let mut route = config.routes.remove(0);
    for number in 0..routes {
        route.path = format!("/api/v1/service-{number}");
        config.routes.push(route.clone());
    }
    let table = RouteTable::build(&config);
    let raw = world.read(
        world.head(&format!("/api/v1/service-{}/items/1", routes / 2)),
        &connection(),
    );
    bencher.bench_local(|| table.find(black_box(&raw)).unwrap());
}

/// The decider alone: a remembered token, a cached record.
#[divan::bench]
fn decide(bencher: Bencher<'_, '_>) {
    let world = &*WORLD;
    let raw = world.read(world.head("/items/1?page=2"), &connection());
    let routes = RouteTable::build(&world.config);
    let matched = routes.find(&raw).unwrap();
    let carriers = Carriers {
        headers: raw.headers(),
        cookie: &|name| raw.cookies().one(name).map_err(|_| RepeatedCookie),
        query: raw.query(),
        websocket: None,
    };
    let presented = Finder::build(&world.config.credentials)
        .find(&carriers, &[0])
        .unwrap();
    let tenant = TenantAnswer::Named(TenantId::parse("default").unwrap());
    let ask = Ask {
        tenant,
        presented,
        basis: TenantBasis::default(),
        origin: OriginFacts::default(),
        csrf: None,
    };
    let known = Known {
        tokens: VerifiedTokens::of_bytes(MEMORY),
        near: world.gateway.directory().near(),
    };
    let now = Clock.now().unwrap();
    let decide = async || {
        let (mut evidence, mut trace) = (Evidence::default(), Trace::off());
        let seen = (&mut evidence, &mut trace);
        let decided = world
            .authenticator
            .decide(&matched, &ask, &known, now, None, seen);
        decided.await.unwrap()
    };
    world.runtime.block_on(decide());
    bencher.bench_local(|| decide().now_or_never().unwrap());
}

/// A whole decision as `explain` makes it, from the head to the upstream's request; its token is
/// verified, and every step is written down.
#[divan::bench]
fn explain(bencher: Bencher<'_, '_>) {
    let world = &*WORLD;
    let head = world.head("/items/1?page=2");
    let explain = |head| gateway::explain(&world.gateway, Request::from_parts(head, ()), false);
    let first = world.runtime.block_on(explain(head.clone()));
    assert_eq!(first.decision, "allow", "{first:?}");
    bencher
        .with_inputs(|| head.clone())
        .bench_local_values(|head| explain(head).now_or_never().unwrap());
}
