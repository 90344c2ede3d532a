//! What the database servers of the tests have in common: who runs them, who ends them, and the
//! clients that are fed line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The server that everybody shares who needs one now; started by the first.
pub(super) fn shared<S>(slot: &Mutex<Weak<S>>, start: impl FnOnce() -> S) -> Arc<S> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    slot.upgrade().unwrap_or_else(|| {
        let server = Arc::new(start());
        *slot = Arc::downgrade(&server);
        server
    })
}

/// Gives a folder to the user who runs the server: databases refuse to run as root.
pub(super) fn hand_over(folder: &Path, owner: &str) {
    if is_root() {
        let (user, group) = unprivileged(owner);
        chown(folder, Some(user), Some(group)).expect("owned by the server");
    }
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("open");
}

/// A program of the server's, in its folder and as a user who may run it.
pub(super) fn as_server_user(program: &Path, owner: &str, folder: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let (user, group) = unprivileged(owner);
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={group}"))
        .arg("--clear-groups")
        .arg("--")
        .arg(program)
        .current_dir(folder);
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// Ids of the user of this name where it exists, else of `nobody`.
fn unprivileged(server: &str) -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").expect("users");
    let ids = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids(server).or_else(|| ids("nobody")).expect("a user")
}

/// A server that runs, or does not: a shell ends it when its own input ends, so also when this
/// process is killed.
#[derive(Default)]
pub(super) struct Keeper(Mutex<Option<Child>>);

impl Keeper {
    /// Starts `server`, which `signal` will end; what it says goes to `log` in its folder.
    pub(super) fn launch(&self, server: &Command, signal: &str, folder: &Path) {
        let log = File::create(folder.join("log")).expect("a log");
        let script = format!(
            "exec 3<&0; \"$@\" </dev/null 3<&- & server=$!; \
             read -r _ <&3; kill -{signal} $server; wait $server"
        );
        let keeper = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sh runs");
        *self.kept() = Some(keeper);
    }

    /// Ends it, and waits until it has.
    pub(super) fn stop(&self) {
        if let Some(mut keeper) = self.kept().take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The processes of a stopped server; they go on when this is dropped.
pub(crate) struct Frozen(Vec<String>);

impl Frozen {
    /// Stops a process and those that it started.
    pub(super) fn with_children(process: String) -> Self {
        let mut processes = children_of(&process);
        processes.insert(0, process);
        let frozen = Self(processes);
        frozen.signal("STOP");
        frozen
    }

    fn signal(&self, name: &str) {
        let mut command = Command::new("kill");
        let _ = command.arg(format!("-{name}")).args(&self.0).status();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

fn children_of(parent: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // `pid (name) state ppid …`; the name may hold anything.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        if after_name.split_whitespace().nth(1) == Some(parent) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

/// A database's own client with a session that stays open, as for holding a lock.
pub(crate) struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What makes the client say `done`.
    say_done: &'static str,
}

impl Session {
    /// Over a client that writes each answer at once.
    pub(super) fn over(client: &mut Command, say_done: &'static str) -> Self {
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client runs");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            child,
            input: Some(input),
            output,
            say_done,
        }
    }

    /// Runs SQL and waits until it is done.
    pub(crate) fn run(&mut self, sql: &str) {
        let input = self.input.as_mut().expect("still open");
        writeln!(input, "{sql};\n{}", self.say_done).expect("the client reads");
        input.flush().expect("the client reads");
        let mut line = String::new();
        while line.trim() != "done" {
            line.clear();
            let count = self.output.read_line(&mut line).expect("the client writes");
            assert_ne!(count, 0, "the client ended");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
