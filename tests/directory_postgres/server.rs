//! A PostgreSQL server of our own: a port and a folder of its own, an unprivileged user, no fsync;
//! stopped when the last test that uses it ends.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

/// A PostgreSQL server of our own.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
    databases: AtomicU32,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server that all running tests share.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::new());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    pub(crate) fn new() -> Self {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed: apt-get install postgresql")
            .map(|entry| entry.unwrap().path().join("bin"))
            .collect();
        versions.sort();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let folder = tempfile::Builder::new()
            .prefix("countersign-pg-")
            .tempdir()
            .unwrap();
        let server = Self {
            folder,
            bin: versions.pop().unwrap(),
            port,
            databases: AtomicU32::new(0),
        };
        if is_root() {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(server.folder.path())
                .status();
            assert!(owned.unwrap().success());
        }
        let data = server.data();
        server.run(
            "initdb",
            &["-D", &data, "-U", "postgres", "-A", "trust", "--no-sync"],
        );
        server.start();
        server
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    pub(crate) fn start(&self) {
        let options = format!(
            "-F -h 127.0.0.1 -p {} -k {} -c max_connections=50 -c shared_buffers=16MB",
            self.port,
            self.folder.path().display()
        );
        let log = self.folder.path().join("log").display().to_string();
        self.run(
            "pg_ctl",
            &[
                "-D",
                &self.data(),
                "-w",
                "-l",
                &log,
                "-o",
                &options,
                "start",
            ],
        );
    }

    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &self.stopping());
    }

    fn stopping(&self) -> [String; 6] {
        ["-D", &self.data(), "-w", "-m", "immediate", "stop"].map(ToOwned::to_owned)
    }

    fn run(&self, program: &str, arguments: &[impl AsRef<OsStr> + Debug]) {
        assert!(self.attempt(program, arguments), "{program} {arguments:?}");
    }

    /// Runs one of the server's programs, as an unprivileged user: it refuses to run as root.
    fn attempt(&self, program: &str, arguments: &[impl AsRef<OsStr>]) -> bool {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "--",
            ]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        // The server inherits these, so they must not be pipes that somebody waits on.
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// A database of its own, with these tables.
    pub(crate) async fn database(&self, schema: &str) -> Database {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&self.url("postgres")).await.unwrap();
        execute(&mut admin, &format!("CREATE DATABASE {name}")).await;
        let url = self.url(&name);
        let mut admin = PgConnection::connect(&url).await.unwrap();
        execute(&mut admin, schema).await;
        Database { url, admin }
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that fails while the server is down has nothing to stop.
        let _ = self.attempt("pg_ctl", &self.stopping());
    }
}

pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) admin: PgConnection,
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// Waits until `count` backends wait for a lock; each look at the server is the wait.
pub(crate) async fn until_blocked(admin: &mut PgConnection, count: i64) {
    loop {
        let row = sqlx::query("SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
            .fetch_one(&mut *admin)
            .await
            .unwrap();
        if row.get::<i64, _>(0) >= count {
            return;
        }
        tokio::task::yield_now().await;
    }
}
