//! The real binary, serving.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::builder::ADMIN_TOKEN;
use super::client::{Client, Response};
use super::process::{Process, replace_file};
use super::request::Request;
use super::wait::{PATIENCE, Watched};

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
    /// Runs this command until it serves on these ports; or what it said instead.
    pub(super) fn up(command: Command, ports: [u16; 3], ready: bool) -> Result<Self, String> {
        let [address, second, admin] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut gateway = Self {
            process: Process::spawn(command),
            address,
            second,
            admin,
            single: Mutex::default(),
            folder: None,
        };
        if let Err(state) = gateway.wait_until_up(ready) {
            gateway.process.end(Duration::from_millis(100));
            return Err(format!("{state}\n{}", gateway.process.stderr_text()));
        }
        Ok(gateway)
    }

    /// Keeps the folder of its configuration for as long as it serves.
    pub(super) fn keeping(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

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

    /// A number of the gateway's that is whole; the first one where it has labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.admin(&Request::get("/metrics")).text();
        let line = text
            .lines()
            .find(|line| line.split([' ', '{']).next() == Some(name));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value
            .and_then(|value| value.trim_end_matches(".0").parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
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

    /// Asks for a revocation.
    pub(crate) fn revoke(&self, message: &Value) -> Response {
        let request = self
            .admin_request("POST", "/v1/revocations")
            .header("Content-Type", "application/json")
            .body(message.to_string().as_bytes());
        self.admin(&request)
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
