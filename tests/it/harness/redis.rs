//! A real Redis: a server of its own for each test, own port, nothing on disk.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ports::free_port;
use super::wait::PATIENCE;

const INSTALL: &str = "redis-server is missing; install it with: apt-get install -y --no-install-recommends redis-server";

pub(crate) struct Redis {
    port: u16,
    port_option: &'static str,
    // A shell that ends the server when its input ends, also when this process is killed.
    keeper: Option<Child>,
    pid: String,
    options: Vec<String>,
    client: Vec<String>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(&[], &[])
    }

    /// Over TLS alone.
    pub(crate) fn over_tls(certificate: &str, key: &str, ca: &str) -> Self {
        let options = [
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
            "--tls-ca-cert-file",
            ca,
            "--tls-auth-clients",
            "no",
        ];
        let client = ["--tls", "--insecure"];
        Self::start_as("--tls-port", &options, &client)
    }

    /// With these options of the server, and these of whoever talks to it.
    pub(crate) fn with(options: &[&str], client: &[&str]) -> Self {
        Self::start_as("--port", options, client)
    }

    fn start_as(port: &'static str, options: &[&str], client: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let mut redis = Self {
            port: free_port(),
            port_option: port,
            keeper: None,
            pid: String::new(),
            options: owned(options),
            client: owned(client),
        };
        redis.start_again();
        redis
    }

    pub(crate) fn url(&self) -> String {
        Self::url_at(self.port)
    }

    /// The same behind another port.
    pub(crate) fn url_at(port: u16) -> String {
        format!("redis://127.0.0.1:{port}/0")
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Starts it (again, with nothing in it).
    pub(crate) fn start_again(&mut self) {
        let script = "exec 3<&0; redis-server --port 0 \"$@\" --bind 127.0.0.1 --save '' \
                      --appendonly no --dir /tmp </dev/null >/dev/null 3<&- & \
                      server=$!; echo $server; read -r _ <&3; kill -KILL $server; wait $server";
        let mut keeper = Command::new("sh")
            .args(["-c", script, "sh", self.port_option, &self.port.to_string()])
            .args(&self.options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let mut line = String::new();
        let output = keeper.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("a pid");
        line.trim().clone_into(&mut self.pid);
        self.keeper = Some(keeper);
        let deadline = Instant::now() + PATIENCE;
        while self
            .try_run(&["PING"])
            .is_none_or(|said| said.trim() != "PONG")
        {
            assert!(Instant::now() < deadline, "{INSTALL}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }

    /// Stops it where it stands (`STOP`), or lets it go on (`CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let mut command = Command::new("kill");
        let _ = command.arg(format!("-{name}")).arg(&self.pid).status();
    }

    /// Runs a command; gives what `redis-cli` says.
    #[track_caller]
    pub(crate) fn run(&self, command: &[&str]) -> String {
        self.try_run(command).expect(INSTALL)
    }

    /// Puts a value of any bytes there, for so many seconds.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, value: &[u8], seconds: u32) {
        let seconds = seconds.to_string();
        let said = self.feed(&["-x", "SETEX", key, &seconds], value);
        assert_eq!(said.expect(INSTALL).trim(), "OK");
    }

    fn try_run(&self, command: &[&str]) -> Option<String> {
        self.feed(command, b"")
    }

    fn feed(&self, command: &[&str], input: &[u8]) -> Option<String> {
        let mut child = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(&self.client)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        child.stdin.take()?.write_all(input).ok()?;
        let output = child.wait_with_output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
