//! Child processes: output collected line by line, ended by their own id and never left behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wait::{PATIENCE, Watched};

/// A running child whose output is collected.
pub(crate) struct Process {
    child: Child,
    pub(super) stdout: Arc<Watched<Vec<String>>>,
    pub(super) stderr: Arc<Watched<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let stdout = Arc::new(Watched::new(Vec::new()));
        let stderr = Arc::new(Watched::new(Vec::new()));
        let readers = vec![
            collect(child.stdout.take().expect("piped"), &stdout),
            collect(child.stderr.take().expect("piped"), &stderr),
        ];
        Self {
            child,
            stdout,
            stderr,
            readers,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.id().to_string()])
            .stderr(Stdio::null())
            .status();
        status.expect("kill runs");
    }

    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its own child")
    }

    /// Waits for the end; `None` when it does not come in time.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.exited() {
                for reader in self.readers.drain(..) {
                    let _ = reader.join();
                }
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end, and makes it end.
    pub(crate) fn end(&mut self, patience: Duration) {
        if self.exited().is_none() {
            self.signal("TERM");
        }
        if self.wait(patience).is_none() {
            let _ = self.child.kill();
            self.wait(PATIENCE);
        }
    }

    /// Waits until standard output or error holds this.
    #[track_caller]
    pub(crate) fn wait_for_output(&self, wanted: &str) {
        let holds = |lines: &Vec<String>| lines.iter().any(|line| line.contains(wanted));
        let found = |lines: &Vec<String>| (holds(lines) || self.stderr.read(holds)).then_some(());
        let found = self.stdout.within(PATIENCE, found);
        assert!(found.is_some(), "no {wanted:?} in:\n{}", self.stdout_text());
    }

    pub(crate) fn stderr_text(&self) -> String {
        self.stderr.read(|lines| lines.join("\n"))
    }

    pub(crate) fn stdout_text(&self) -> String {
        self.stdout.read(|lines| lines.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Duration::from_secs(2));
    }
}

fn collect(
    pipe: impl std::io::Read + Send + 'static,
    lines: &Arc<Watched<Vec<String>>>,
) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            lines.update(|lines| lines.push(line));
        }
    })
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `countersign` with these arguments in this folder, with nothing of the environment but
/// `env`, and waits for its end.
#[track_caller]
pub(crate) fn countersign(folder: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = command(folder, &env.iter().copied().collect());
    command.args(arguments);
    let mut process = Process::spawn(command);
    let status = process.wait(PATIENCE);
    let output = Output {
        code: status.and_then(|status| status.code()),
        stdout: process.stdout_text(),
        stderr: process.stderr_text(),
    };
    assert!(status.is_some(), "{arguments:?} does not end: {output:?}");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    output
}

/// The binary that is tested: cargo's, or the one that `COUNTERSIGN_BINARY` names (an absolute path),
/// such as the published one.
pub(crate) fn binary() -> OsString {
    std::env::var_os("COUNTERSIGN_BINARY")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_countersign").into())
}

/// `countersign`, to be run in this folder with only this environment.
pub(super) fn command(folder: &Path, env: &BTreeMap<&str, &str>) -> Command {
    let mut command = Command::new(binary());
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(env);
    command
}

/// The same, with at most this many open files; still one process with one id.
pub(super) fn limited_command(
    folder: &Path,
    env: &BTreeMap<&str, &str>,
    descriptors: u32,
) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(env)
        .args([
            "-c",
            &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""),
        ])
        .arg(binary());
    command
}

/// Writes a file so that a reader finds the old or the new one, never half of one.
pub(crate) fn replace_file(path: &Path, content: &[u8]) {
    let folder = path.parent().expect("a file in a folder");
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("a temporary file");
    file.write_all(content).expect("written");
    file.persist(path).expect("renamed");
}
