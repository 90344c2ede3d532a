//! A real PostgreSQL: one server while any test needs it, one database for each, own port, own
//! folder, never as root.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::database::{Frozen, Keeper, Session, as_server_user, hand_over, shared};
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
        let server = shared(&SHARED, Server::start);
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
        Session::over(&mut self.server.psql_command(&self.name), "\\echo done")
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
        self.server.keeper.stop();
    }

    /// Stops every process of the server (of `alone_with`) where it stands: its sockets stay open and
    /// nothing answers, until the result is dropped.
    pub(crate) fn freeze(&self) -> Frozen {
        let pid_file = self.server.folder.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(pid_file).expect("the server runs");
        let postmaster = text.lines().next().expect("a pid").trim().to_owned();
        Frozen::with_children(postmaster)
    }

    /// What the server (of `alone_with`) has written into its log.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.server.folder.path().join("log")).expect("a log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Starts it again.
    pub(crate) fn start_again(&self) {
        self.server.launch();
    }
}

struct Server {
    // Ended before its folder goes.
    keeper: Keeper,
    folder: TempDir,
    bin: PathBuf,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let server = Self {
            folder: TempDir::new().expect("a folder"),
            bin: find_bin(),
            port: free_port(),
            keeper: Keeper::default(),
        };
        server.prepare();
        server.launch();
        server
    }

    fn prepare(&self) {
        let folder = self.folder.path();
        hand_over(folder, "postgres");
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
        let mut server = self.as_server_user("postgres");
        server
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1"])
            .args(["-c", "fsync=off", "-c", "max_connections=200"]);
        self.keeper.launch(&server, "QUIT", folder);
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
        as_server_user(&self.bin.join(program), "postgres", self.folder.path())
    }
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
