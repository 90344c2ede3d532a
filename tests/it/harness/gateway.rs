//! The real binary, serving a configuration made of sections that a test overrides one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Client, Response};
use super::ports::free_port;
use super::process::{self, Process, replace_file};
use super::recorder::Recorder;
use super::request::Request;
use super::tokens::SECRET;
use super::wait::{PATIENCE, Watched};

/// What the admin interface asks for.
pub(crate) const ADMIN_TOKEN: &str = "admin-token-of-the-tests-0123456789";

/// Users of the tests that bring none of their own: 5 belongs to account 12, 6 to none.
const USERS: &str = r#"users:
  - { user: "5", account: "12", active: true }
  - { user: "6", account: null, active: true }
  - { user: "7", account: "14", active: true }
"#;

/// A configuration in the making. Every section is YAML text; `{{port}}`, `{{port2}}` and
/// `{{admin}}` in it become free ports.
pub(crate) struct Builder {
    sections: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    folder: TempDir,
    ready: bool,
    descriptors: Option<u32>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let builder = Self {
            sections: BTreeMap::new(),
            env: BTreeMap::new(),
            folder: TempDir::new().expect("a folder"),
            ready: true,
            descriptors: None,
        };
        builder
            .env("JWT_SECRET", SECRET)
            .env("COUNTERSIGN_ADMIN_TOKEN", ADMIN_TOKEN)
            .users(USERS)
            .set("workers", "2")
            .set("listeners", r#"[ { address: "127.0.0.1:{{port}}" } ]"#)
            .set(
                "admin",
                r#"{ address: "127.0.0.1:{{admin}}", token: "${COUNTERSIGN_ADMIN_TOKEN}" }"#,
            )
            .set(
                "issuers",
                r#"- name: app
  algorithms: [HS256]
  secret: "${JWT_SECRET}"
  leeway: 0s
  claims: { user: user_id, account: account_id, tenant: tenant_schema }"#,
            )
            .set("credentials", "[ bearer: { forward: keep } ]")
            .set("directory", "source: { file: { path: users.yaml } }")
            .set(
                "routes",
                "[ { match: { path: / }, access: member, upstream: app } ]",
            )
            .set("drain", "{ delay: 0s, timeout: 1s }")
    }

    /// Replaces a top-level section.
    pub(crate) fn set(mut self, section: &str, yaml: &str) -> Self {
        self.sections.insert(section.to_owned(), yaml.to_owned());
        self
    }

    /// Leaves a top-level section out.
    pub(crate) fn unset(mut self, section: &str) -> Self {
        self.sections.remove(section);
        self
    }

    /// Makes this recorder the upstream `app`.
    pub(crate) fn upstream(self, upstream: &Recorder) -> Self {
        self.upstream_with(upstream, "")
    }

    /// The same with more keys, as `, isolate: user`.
    pub(crate) fn upstream_with(self, upstream: &Recorder, more: &str) -> Self {
        let servers = upstream.url();
        let yaml = format!("[ {{ name: app, servers: [ \"{servers}\" ]{more} }} ]");
        self.set("upstreams", &yaml)
    }

    /// The directory file's whole text.
    pub(crate) fn users(self, yaml: &str) -> Self {
        self.file("users.yaml", yaml)
    }

    /// A file beside the configuration.
    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.folder.path().join(name), content).expect("written");
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Does not wait until the gateway says that it is ready, only until it answers at all.
    pub(crate) fn not_ready(mut self) -> Self {
        self.ready = false;
        self
    }

    /// Lets the process open only this many files.
    pub(crate) fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// Where the configuration will stand.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn env_pairs(&self) -> Vec<(&str, &str)> {
        self.env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// The whole file, with these ports.
    pub(crate) fn yaml(&self, port: u16, port2: u16, admin: u16) -> String {
        let mut text = String::new();
        for (section, yaml) in &self.sections {
            text.push_str(&section_text(section, yaml));
        }
        text.replace("{{port}}", &port.to_string())
            .replace("{{port2}}", &port2.to_string())
            .replace("{{admin}}", &admin.to_string())
    }

    /// Writes the configuration without serving it.
    pub(crate) fn write(&self) -> PathBuf {
        let path = self.folder.path().join("countersign.yaml");
        let yaml = self.yaml(free_port(), free_port(), free_port());
        std::fs::write(&path, yaml).expect("written");
        path
    }

    /// Serves; fails, with everything the gateway said, unless it becomes ready.
    #[track_caller]
    pub(crate) fn start(self) -> Gateway {
        const ATTEMPTS: usize = 4;
        let mut folder = self.folder;
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            let ports = (free_port(), free_port(), free_port());
            let builder = Self {
                sections: self.sections.clone(),
                env: self.env.clone(),
                folder,
                ready: self.ready,
                descriptors: self.descriptors,
            };
            match builder.attempt(ports) {
                Ok(gateway) => return gateway,
                Err((kept, text)) => (folder, said) = (kept, text),
            }
            if !said.contains("in use") {
                break;
            }
        }
        panic!("the gateway does not start:\n{said}");
    }

    fn attempt(self, (port, port2, admin): (u16, u16, u16)) -> Result<Gateway, (TempDir, String)> {
        let path = self.folder.path().join("countersign.yaml");
        let yaml = self.yaml(port, port2, admin);
        std::fs::write(&path, &yaml).expect("written");
        let env = self.env_pairs().into_iter().collect();
        let mut command = match self.descriptors {
            Some(most) => process::limited_command(self.folder.path(), &env, most),
            None => process::command(self.folder.path(), &env),
        };
        command.args(["serve", "-c", "countersign.yaml"]);
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut gateway = Gateway {
            process: Process::spawn(command),
            address: local(port),
            second: local(port2),
            admin: local(admin),
            single: Mutex::default(),
            folder: None,
        };
        if let Err(state) = gateway.wait_until_up(self.ready) {
            gateway.process.end(Duration::from_millis(100));
            let said = gateway.process.stderr_text();
            return Err((self.folder, format!("{state}\n{said}\n--- of\n{yaml}")));
        }
        gateway.folder = Some(self.folder);
        Ok(gateway)
    }
}

fn section_text(section: &str, yaml: &str) -> String {
    if yaml.starts_with(['{', '[', '"']) || !yaml.contains([':', '\n']) {
        return format!("{section}: {yaml}\n");
    }
    let mut text = format!("{section}:\n");
    for line in yaml.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// A serving gateway; it is ended, and must not have panicked, when dropped.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    address: SocketAddr,
    second: SocketAddr,
    admin: SocketAddr,
    single: Mutex<BTreeSet<String>>,
    folder: Option<TempDir>,
}

impl Gateway {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that `{{port2}}` became.
    pub(crate) fn second_address(&self) -> SocketAddr {
        self.second
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it started").path()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends one request over a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Response {
        self.client().exchange(request)
    }

    /// Sends one request to the admin listener.
    #[track_caller]
    pub(crate) fn admin(&self, request: &Request) -> Response {
        Client::connect(self.admin).exchange(request)
    }

    /// The status of this admin path, or nothing where the listener is gone.
    pub(crate) fn admin_status(&self, path: &str) -> Option<u16> {
        let mut client = Client::try_connect(self.admin).ok()?;
        client.try_send(&Request::get(path).bytes()).ok()?;
        Some(client.try_response("GET").ok()?.status())
    }

    /// An admin request that has the token and the listener's own host.
    pub(crate) fn admin_request(&self, method: &str, target: &str) -> Request {
        Request::new(method, target)
            .host(&self.admin.to_string())
            .bearer(ADMIN_TOKEN)
    }

    /// Says that something changed, and waits until that is known.
    #[track_caller]
    pub(crate) fn invalidate(&self, message: &Value) {
        let request = self
            .admin_request("POST", "/v1/invalidate")
            .header("Content-Type", "application/json")
            .body(message.to_string().as_bytes());
        let response = self.admin(&request).expect_status(200);
        assert_eq!(response.json()["applied"], true);
    }

    /// Replaces the directory file at once, without saying so.
    pub(crate) fn replace_users(&self, yaml: &str) {
        self.replace_file("users.yaml", yaml);
    }

    pub(crate) fn replace_file(&self, name: &str, content: &str) {
        replace_file(&self.folder().join(name), content.as_bytes());
    }

    /// Replaces the directory file and says so.
    #[track_caller]
    pub(crate) fn move_users(&self, yaml: &str) {
        self.replace_users(yaml);
        self.invalidate(&serde_json::json!({}));
    }

    /// The first audit line that `wanted` accepts, waiting for it.
    #[track_caller]
    pub(crate) fn audit(&self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let find = |lines: &Vec<String>| audit_lines(lines).into_iter().find(|line| wanted(line));
        self.stdout().within(PATIENCE, find).unwrap_or_else(|| {
            panic!("no such audit line in:\n{}", self.process.stdout_text());
        })
    }

    /// Every audit line so far.
    pub(crate) fn audit_lines(&self) -> Vec<Value> {
        self.stdout().read(|lines| audit_lines(lines))
    }

    /// Everything written to standard output so far.
    pub(crate) fn audit_text(&self) -> String {
        self.process.stdout_text()
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.process.stderr_text()
    }

    /// Waits for a log line that holds this.
    pub(crate) fn wait_for_log(&self, wanted: &str) {
        let find =
            |lines: &Vec<String>| lines.iter().any(|line| line.contains(wanted)).then_some(());
        let found = self.process.stderr.within(PATIENCE, find);
        assert!(
            found.is_some(),
            "no log line with {wanted:?}:\n{}",
            self.log()
        );
    }

    /// Requires, at the end, that this request has just one audit line.
    pub(crate) fn expect_single_line(&self, request_id: &str) {
        let mut single = self.single.lock().expect("not poisoned");
        single.insert(request_id.to_owned());
    }

    /// The largest resident set so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1024
    }

    /// How much CPU it has used so far, in ticks of (nearly always) 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(path).expect("its status");
        let fields = stat.rsplit(')').next().expect("a name in brackets");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        [11, 12]
            .map(|at| fields[at].parse::<u64>().expect("ticks"))
            .iter()
            .sum()
    }

    fn stdout(&self) -> &Watched<Vec<String>> {
        &self.process.stdout
    }

    /// There is no event for "another process listens now", so this asks again and again.
    fn wait_until_up(&mut self, ready: bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let path = if ready { "/readyz" } else { "/healthz" };
        let mut state = String::from("never answered");
        while Instant::now() < deadline {
            if let Some(status) = self.process.exited() {
                self.process.wait(PATIENCE);
                return Err(format!("ended with {status}"));
            }
            if let Ok(mut client) = Client::try_connect(self.admin) {
                let _ = client.try_send(&Request::get(path).bytes());
                match client.try_response("GET") {
                    Ok(response) if response.status() == 200 => return Ok(()),
                    Ok(response) => state = response.text(),
                    Err(error) => state = error.to_string(),
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(state)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.end(Duration::from_secs(3));
        if std::thread::panicking() {
            eprintln!("--- the gateway's log\n{}", self.log());
            eprintln!("--- its audit\n{}", self.audit_text());
            return;
        }
        assert!(!self.log().contains("panicked"), "{}", self.log());
        let lines = self.audit_lines();
        for id in self.single.lock().expect("not poisoned").iter() {
            let of = |line: &&Value| line["request_id"] == id.as_str();
            let count = lines.iter().filter(of).count();
            assert_eq!(count, 1, "audit lines of request {id}: {lines:#?}");
        }
    }
}

fn audit_lines(lines: &[String]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).ok();
    lines.iter().filter_map(parse).collect()
}
