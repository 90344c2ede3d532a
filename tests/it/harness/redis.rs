//! A real Redis: a server of its own for each test, own port, nothing on disk.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ports::free_port;
use super::wait::PATIENCE;

const INSTALL: &str = "redis-server is missing; install it with: apt-get install -y --no-install-recommends redis-server";

pub(crate) struct Redis {
    port: u16,
    // A shell that ends the server when its input ends, also when this process is killed.
    keeper: Option<Child>,
    pid: String,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let mut redis = Self {
            port: free_port(),
            keeper: None,
            pid: String::new(),
        };
        redis.start_again();
        redis
    }

    pub(crate) fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same behind another port.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("redis://127.0.0.1:{port}/0")
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Starts it (again, with nothing in it).
    pub(crate) fn start_again(&mut self) {
        let script = "exec 3<&0; redis-server --port \"$1\" --bind 127.0.0.1 --save '' \
                      --appendonly no --dir /tmp </dev/null >/dev/null 3<&- & \
                      server=$!; echo $server; read -r _ <&3; kill -KILL $server; wait $server";
        let mut keeper = Command::new("sh")
            .args(["-c", script, "sh", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let mut line = String::new();
        let output = keeper.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("a pid");
        self.pid = line.trim().to_owned();
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

    fn try_run(&self, command: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(command)
            .output()
            .ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
