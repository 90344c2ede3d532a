//! Who may be seen as whom, and when: the judge of the storm.

use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Exchange, Head, Request, Token, Watched, accept};

const TENANTS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const USERS_PER_TENANT: usize = 125;
const CALLERS: usize = TENANTS.len() * USERS_PER_TENANT;

/// How many users move in one round.
const ANNOUNCED: usize = 20;

/// One answer in so many is slow.
const SLOW: u64 = 331;

/// A number that only grows.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// One user of one tenant; the token names the account of the beginning for ever.
struct Caller {
    tenant: &'static str,
    user: String,
    token: String,
    /// Accounts in order, each with the generation from which it may be seen.
    accounts: Vec<(u64, String)>,
}

/// The truth, and everything that contradicted it.
pub(super) struct Model {
    callers: RwLock<Vec<Caller>>,
    acknowledged: Counter,
    sequence: Counter,
    wanted: u64,
    wrong: Watched<Vec<String>>,
    pub(super) http1: Counter,
    pub(super) http2: Counter,
    pub(super) websocket: Counter,
    pub(super) moves: Counter,
    pub(super) ended: Counter,
}

/// What a client says about itself in a request: who it is, and which moves it knows to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) caller: usize,
    generation: u64,
    sequence: u64,
}

impl Probe {
    fn parse(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| part.parse().expect("a number"));
        let mut next = || parts.next().expect("a part");
        Self {
            caller: usize::try_from(next()).expect("small"),
            generation: next(),
            sequence: next(),
        }
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.caller, self.generation, self.sequence)
    }
}

impl Model {
    pub(super) fn new(wanted: u64) -> Self {
        let caller = |number: usize| {
            let tenant = TENANTS[number / USERS_PER_TENANT];
            let user = (number % USERS_PER_TENANT).to_string();
            let account = format!("{tenant}-0");
            let token = Token::user(user.as_str())
                .tenant(tenant)
                .account(account.as_str())
                .expires_in(3600)
                .signed();
            Caller {
                tenant,
                user,
                token,
                accounts: vec![(0, account)],
            }
        };
        Self {
            callers: RwLock::new((0..CALLERS).map(caller).collect()),
            acknowledged: Counter::default(),
            sequence: Counter::default(),
            wanted,
            wrong: Watched::default(),
            http1: Counter::default(),
            http2: Counter::default(),
            websocket: Counter::default(),
            moves: Counter::default(),
            ended: Counter::default(),
        }
    }

    pub(super) fn seen(&self) -> u64 {
        self.http1.get() + self.http2.get() + self.websocket.get()
    }

    /// Whether enough was seen, or anything was wrong.
    pub(super) fn done(&self) -> bool {
        self.seen() >= self.wanted || !self.wrong().is_empty()
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        self.wrong.read(Clone::clone)
    }

    pub(super) fn report(&self, what: String) {
        self.wrong.update(|wrong| wrong.push(what));
    }

    /// What the caller with this number says in its next request.
    pub(super) fn probe(&self, caller: usize) -> Probe {
        Probe {
            caller: caller % CALLERS,
            generation: self.acknowledged.get(),
            sequence: self.sequence.add(),
        }
    }

    /// A request by the probe's caller.
    pub(super) fn request(&self, probe: Probe, protocol: &str) -> Request {
        let (host, token) = self.place(probe);
        Request::get(&format!("/{}", probe.sequence))
            .host(&host)
            .bearer(&token)
            .header("X-Probe", &probe.to_string())
            .header("X-Protocol", protocol)
    }

    /// The host of the caller's tenant, and its token.
    pub(super) fn place(&self, probe: Probe) -> (String, String) {
        let callers = self.callers.read().expect("not poisoned");
        let caller = &callers[probe.caller];
        let host = format!("{}.example.test", caller.tenant);
        (host, caller.token.clone())
    }

    /// The directory file as it is to be.
    pub(super) fn users_file(&self) -> String {
        let callers = self.callers.read().expect("not poisoned");
        let line = |caller: &Caller| {
            let (_, account) = caller.accounts.last().expect("at least one");
            let (tenant, user) = (caller.tenant, &caller.user);
            format!(
                "  - {{ tenant: {tenant}, user: \"{user}\", account: \"{account}\", active: true }}\n"
            )
        };
        let lines: String = callers.iter().map(line).collect();
        format!("users:\n{lines}")
    }

    /// Decides who moves next; from now on both the old and the new account may be seen.
    pub(super) fn announce(&self, round: usize) -> Vec<(&'static str, String)> {
        let generation = self.acknowledged.get() + 1;
        let mut callers = self.callers.write().expect("not poisoned");
        (0..ANNOUNCED)
            .map(|number| {
                let caller = &mut callers[(round * 37 + number * 25) % CALLERS];
                let account = format!("{}-{generation}", caller.tenant);
                caller.accounts.push((generation, account));
                self.moves.add();
                (caller.tenant, caller.user.clone())
            })
            .collect()
    }

    /// The announced moves are done: their old accounts may not be seen any more by requests that
    /// are sent from now on.
    pub(super) fn acknowledge(&self) {
        self.acknowledged.add();
    }

    /// The upstream.
    pub(super) fn serve(&self, exchange: &mut Exchange<'_>) {
        let head = exchange.head.clone();
        let Some(probe) = head.get("x-probe").map(Probe::parse) else {
            return self.report(format!("a request without a probe: {head:?}"));
        };
        self.judge(probe, &head);
        if head.get("upgrade").is_some() {
            return self.serve_messages(exchange, &head);
        }
        match head.get("x-protocol") {
            Some("2") => self.http2.add(),
            _ => self.http1.add(),
        };
        if probe.sequence % SLOW == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        exchange.respond_json(&json!({ "probe": probe.to_string() }));
    }

    fn serve_messages(&self, exchange: &mut Exchange<'_>, head: &Head) {
        self.websocket.add();
        if let Some(mut socket) = accept(exchange, None) {
            while let Ok(message) = socket.read() {
                if let Ok(text) = message.to_text()
                    && message.is_text()
                {
                    self.judge(Probe::parse(text), head);
                    self.websocket.add();
                    if socket.send(message).is_err() {
                        break;
                    }
                }
            }
        }
        exchange.close();
    }

    /// Compares what the upstream was told with who it really was.
    fn judge(&self, probe: Probe, head: &Head) {
        let callers = self.callers.read().expect("not poisoned");
        let caller = &callers[probe.caller];
        let known = caller.accounts.iter().rev();
        let in_force = known.clone().find(|(from, _)| *from <= probe.generation);
        let (since, _) = in_force.expect("an account from the beginning");
        let told = head.get("x-auth-account-id");
        let account_fits = known
            .take_while(|(from, _)| from >= since)
            .any(|(_, account)| told == Some(account));
        let fits = head.all("x-auth-tenant-id") == [caller.tenant]
            && head.all("x-auth-user-id") == [caller.user.as_str()]
            && account_fits;
        if !fits {
            let accounts = &caller.accounts;
            let who = format!("{}/{} {accounts:?}", caller.tenant, caller.user);
            self.report(format!(
                "probe {probe} by {who} was seen as {:?}",
                head.fields
            ));
        }
    }
}
