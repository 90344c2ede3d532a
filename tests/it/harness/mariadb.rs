//! A real MariaDB: one server while any test needs it, one database for each, own port, own folder,
//! never as root.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::database::{Frozen, Keeper, Session, as_server_user, hand_over, shared};
use super::ports::free_port;
use super::wait::PATIENCE;

const INSTALL: &str = "MariaDB is missing; install it with: apt-get install -y --no-install-recommends mariadb-server";

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// A database of its own on the shared server.
pub(crate) struct MariaDb {
    server: Arc<Server>,
    name: String,
}

impl MariaDb {
    /// An empty database in which this SQL has run.
    pub(crate) fn with(sql: &str) -> Self {
        let server = shared(&SHARED, Server::start);
        Self::on(server, sql)
    }

    /// The same on a server that nobody shares, so that it may be stopped.
    pub(crate) fn alone_with(sql: &str) -> Self {
        Self::on(Arc::new(Server::start()), sql)
    }

    fn on(server: Arc<Server>, sql: &str) -> Self {
        let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        server.run(
            "mysql",
            &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
        );
        let database = Self { server, name };
        database.run(sql);
        database
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("root")
    }

    /// The same as another user, without a password.
    pub(crate) fn url_of(&self, user: &str) -> String {
        let (port, name) = (self.server.port, &self.name);
        format!("mysql://{user}@127.0.0.1:{port}/{name}?ssl-mode=DISABLED")
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a script, as the client reads it; gives the rows, separated by tabs, one a line.
    pub(crate) fn run(&self, sql: &str) -> String {
        self.server.run(&self.name, sql)
    }

    /// An open session, as for holding a lock.
    pub(crate) fn session(&self) -> Session {
        let mut client = self.server.client(&self.name);
        Session::over(client.arg("--unbuffered"), "SELECT 'done';")
    }

    /// Ends every other session of this database, as a failing network would.
    pub(crate) fn cut_connections(&self) {
        let sql = "SELECT id FROM information_schema.processlist \
                   WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        for id in self.run(sql).lines() {
            // It may be gone already.
            self.server.try_run(&self.name, &format!("KILL {id}"));
        }
    }

    /// Stops the server (of `alone_with`).
    pub(crate) fn stop(&self) {
        self.server.keeper.stop();
    }

    /// Starts it again.
    pub(crate) fn start_again(&self) {
        self.server.launch();
    }

    /// Stops the server (of `alone_with`) where it stands: its sockets stay open and nothing
    /// answers, until the result is dropped.
    pub(crate) fn freeze(&self) -> Frozen {
        let pid = std::fs::read_to_string(self.server.folder.path().join("pid"));
        Frozen::with_children(pid.expect("the server runs").trim().to_owned())
    }
}

struct Server {
    // Ended before its folder goes.
    keeper: Keeper,
    folder: TempDir,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let server = Self {
            folder: TempDir::new().expect("a folder"),
            port: free_port(),
            keeper: Keeper::default(),
        };
        server.prepare();
        server.launch();
        server
    }

    fn prepare(&self) {
        let folder = self.folder.path();
        hand_over(folder, "mysql");
        let output = self
            .as_server_user(&program("mariadb-install-db"))
            .args(["--no-defaults", "--skip-test-db"])
            .arg("--auth-root-authentication-method=normal")
            .arg(format!("--datadir={}", folder.join("data").display()))
            // Two servers that begin at once would take each other's files away.
            .arg(format!("--tmpdir={}", folder.display()))
            .stdin(Stdio::null())
            .output()
            .expect(INSTALL);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mariadb-install-db: {said}");
    }

    fn launch(&self) {
        let folder = self.folder.path();
        let within = |name: &str| folder.join(name).display().to_string();
        let mut server = self.as_server_user(&program("mariadbd"));
        server
            .arg("--no-defaults")
            .arg(format!("--datadir={}", within("data")))
            .arg(format!("--socket={}", within("socket")))
            .arg(format!("--pid-file={}", within("pid")))
            .arg(format!("--tmpdir={}", within("")))
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args([
                "--innodb-flush-log-at-trx-commit=2",
                "--max-connections=300",
            ]);
        self.keeper.launch(&server, "KILL", folder);
        self.wait_until_up();
    }

    /// There is no event for "another process listens now", so this asks again and again.
    fn wait_until_up(&self) {
        let deadline = Instant::now() + PATIENCE * 2;
        while !self.try_run("mysql", "SELECT 1") {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("MariaDB does not start: {log:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn client(&self, database: &str) -> Command {
        let mut command = Command::new(program("mariadb"));
        command
            .args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "-N", "-B"])
            .arg("--default-character-set=utf8mb4")
            .args(["-P", &self.port.to_string(), "-D", database]);
        command
    }

    fn try_run(&self, database: &str, sql: &str) -> bool {
        let output = self.client(database).args(["-e", sql]).output();
        output.is_ok_and(|output| output.status.success())
    }

    fn run(&self, database: &str, sql: &str) -> String {
        let mut child = self
            .client(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect(INSTALL);
        let mut input = child.stdin.take().expect("piped");
        // What a failing client no longer reads shows in its status.
        let _ = input.write_all(sql.as_bytes());
        drop(input);
        let output = child.wait_with_output().expect("the client runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\nin: {sql}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A program of the server's, as a user who may run it.
    fn as_server_user(&self, program: &Path) -> Command {
        as_server_user(program, "mysql", self.folder.path())
    }
}

/// Where the package puts it; the server is in no user's path.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    let folders = folders.chain(["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    let mut found = folders.map(|folder| folder.join(name));
    found.find(|path| path.is_file()).expect(INSTALL)
}
