//! A real PostgreSQL: one server while any test needs it, one database for each, own port, own
//! folder, never as root.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports::free_port;
use super::wait::{PATIENCE, until};

const INSTALL: &str =
    "PostgreSQL is missing; install it with: apt-get install -y --no-install-recommends postgresql";

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// A database of its own on the shared server.
pub(crate) struct Database {
    server: Arc<Server>,
    name: String,
}

impl Database {
    /// An empty database in which this SQL has run.
    pub(crate) fn with(sql: &str) -> Self {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let server = shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Server::start());
            *shared = Arc::downgrade(&server);
            server
        });
        drop(shared);
        Self::on(server, sql)
    }

    /// The same on a server that nobody shares, so that it may be stopped.
    pub(crate) fn alone_with(sql: &str) -> Self {
        Self::on(Arc::new(Server::start()), sql)
    }

    /// A database of the same name on another server.
    pub(crate) fn twin_elsewhere(&self, sql: &str) -> Self {
        Self::named(Arc::new(Server::start()), self.name.clone(), sql)
    }

    fn on(server: Arc<Server>, sql: &str) -> Self {
        let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        Self::named(server, name, sql)
    }

    fn named(server: Arc<Server>, name: String, sql: &str) -> Self {
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        let database = Self { server, name };
        database.run(sql);
        database
    }

    pub(crate) fn url(&self) -> String {
        self.url_at(self.server.port)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same behind another port.
    pub(crate) fn url_at(&self, port: u16) -> String {
        let name = &self.name;
        format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable")
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    /// Runs SQL; gives the rows, unaligned, one a line.
    pub(crate) fn run(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }

    /// Runs these one after the other in one session; gives rows and notifications.
    pub(crate) fn run_each(&self, each: &[&str]) -> String {
        let mut command = self.server.psql_command(&self.name);
        for sql in each {
            command.args(["-c", sql]);
        }
        let output = command.output().expect("psql runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\nin: {each:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// An open session, as for holding a lock.
    pub(crate) fn session(&self) -> Session {
        let mut child = self
            .server
            .psql_command(&self.name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Session {
            child,
            input: Some(input),
            output,
        }
    }

    /// Waits until another session of this database waits for a lock.
    pub(crate) fn wait_for_blocked_session(&self) {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
        until("somebody waits for the lock", || {
            self.run(sql).trim() != "0"
        });
    }

    /// Ends every other session of this database, as a failing network would.
    pub(crate) fn cut_connections(&self) {
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }

    /// Stops the server (of `alone_with`).
    pub(crate) fn stop(&self) {
        self.server.stop();
    }

    /// Stops every process of the server (of `alone_with`) where it stands: its sockets stay open and
    /// nothing answers, until the result is dropped.
    pub(crate) fn freeze(&self) -> Frozen {
        let pid_file = self.server.folder.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(pid_file).expect("the server runs");
        let postmaster = text.lines().next().expect("a pid").trim().to_owned();
        let frozen = Frozen(children_of(&postmaster));
        frozen.signal("STOP");
        frozen
    }

    /// Starts it again.
    pub(crate) fn start_again(&self) {
        self.server.launch();
    }
}

/// The processes of a stopped server; they go on when this is dropped.
pub(crate) struct Frozen(Vec<String>);

impl Frozen {
    pub(super) fn of(process: String) -> Self {
        let frozen = Self(vec![process]);
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

/// A process, and those that it started.
fn children_of(parent: &str) -> Vec<String> {
    let mut found = vec![parent.to_owned()];
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

/// `psql`, fed line by line.
pub(crate) struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Runs SQL and waits until it is done.
    pub(crate) fn run(&mut self, sql: &str) {
        let input = self.input.as_mut().expect("still open");
        writeln!(input, "{sql};\n\\echo done").expect("psql reads");
        input.flush().expect("psql reads");
        let mut line = String::new();
        while line.trim() != "done" {
            line.clear();
            let count = self.output.read_line(&mut line).expect("psql writes");
            assert_ne!(count, 0, "psql ended");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

struct Server {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
    // A shell that ends the server when its input ends, also when this process is killed.
    keeper: Mutex<Option<Child>>,
}

impl Server {
    fn start() -> Self {
        let server = Self {
            folder: TempDir::new().expect("a folder"),
            bin: find_bin(),
            port: free_port(),
            keeper: Mutex::new(None),
        };
        server.prepare();
        server.launch();
        server
    }

    fn prepare(&self) {
        let folder = self.folder.path();
        if is_root() {
            let (user, group) = unprivileged("postgres");
            chown(folder, Some(user), Some(group)).expect("owned by the server");
        }
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("open");
        let output = self
            .as_server_user("initdb")
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"])
            .args(["--no-sync", "-D"])
            .arg(folder.join("data"))
            .output()
            .expect("initdb runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "initdb: {said}");
    }

    fn launch(&self) {
        let folder = self.folder.path();
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let script = "exec 3<&0; \"$@\" </dev/null 3<&- & server=$!; \
                      read -r _ <&3; kill -QUIT $server; wait $server";
        let inner = self.as_server_user("postgres");
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(inner.get_program());
        let keeper = command
            .args(inner.get_args())
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1"])
            .args(["-c", "fsync=off", "-c", "max_connections=200"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sh runs");
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut command = Command::new(self.bin.join("pg_isready"));
            command.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if command.status().is_ok_and(|status| status.success()) {
                return;
            }
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("PostgreSQL does not start: {log:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&self) {
        let mut kept = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut keeper) = kept.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }

    fn psql_command(&self, database: &str) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-U", "postgres", "-d", database]);
        command
    }

    fn psql(&self, database: &str, sql: &str) -> String {
        let output = self.psql_command(database).args(["-c", sql]).output();
        let output = output.expect("psql runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\nin: {sql}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A program of the server's, as a user who may run it.
    fn as_server_user(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let (user, group) = unprivileged("postgres");
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"))
            .arg("--clear-groups")
            .arg("--")
            .arg(program)
            .current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// Ids of the user of this name where it exists, else of `nobody`.
pub(super) fn unprivileged(server: &str) -> (u32, u32) {
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

fn find_bin() -> PathBuf {
    let stated = Command::new("pg_config").arg("--bindir").output().ok();
    let stated = stated.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let mut folders: Vec<PathBuf> = stated.into_iter().map(PathBuf::from).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    let whole = |folder: &&PathBuf| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    folders.iter().find(whole).expect(INSTALL).clone()
}
