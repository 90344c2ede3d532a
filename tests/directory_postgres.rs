//! The postgres directory against a real server: started here, on a port and in a folder of its own,
//! and stopped when the last test that uses it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use countersign::config::{
    self, DirectorySource, KeyPath, KnownTenants, Secret, TenantSource, Tenants,
};
use countersign::directory::{Directory, DirectoryError, Invalidation, Live};
use countersign::ids::{AccountId, TenantId, UserId};
use countersign::telemetry::{Metrics, Redacted};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

const USERS: &str = "
    CREATE TABLE users (id bigint PRIMARY KEY, account int, active boolean, email text,
        roles text[], memberships jsonb, since timestamptz, score numeric(10,2), key uuid);
    INSERT INTO users VALUES
        (1, 12, true, 'one@example.com', '{staff,admin}', '[12, \"14\"]', '2026-01-01 01:00:00+01', 1.50,
            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
        (2, NULL, NULL, 'two@example.com', NULL, NULL, NULL, NULL, NULL),
        (3, 1, true, 'twin@example.com', NULL, NULL, NULL, NULL, NULL),
        (4, 1, true, 'twin@example.com', NULL, NULL, NULL, NULL, NULL);
";

const BY_ID: &str = "SELECT id, account, active, email, roles, memberships, score,
        since AS tokens_valid_after
    FROM users WHERE id = $user::bigint; -- by id";

// --- a server ----------------------------------------------------------------------------------

/// A PostgreSQL server of our own.
struct Server {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
    databases: AtomicU32,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server that all running tests share.
    fn shared() -> Arc<Self> {
        let mut shared = SHARED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::new());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    fn new() -> Self {
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

    fn start(&self) {
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

    fn stop(&self) {
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-w", "-m", "immediate", "stop"],
        );
    }

    /// Runs one of the server's programs, as an unprivileged user: it refuses to run as root.
    fn run(&self, program: &str, arguments: &[&str]) {
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
        let status = command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{command:?}");
    }

    /// A database of its own, with these tables.
    async fn database(&self, schema: &str) -> Database {
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
        self.stop();
    }
}

struct Database {
    url: String,
    admin: PgConnection,
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// Waits until `count` backends wait for a lock; each look at the server is the wait.
async fn until_blocked(admin: &mut PgConnection, count: i64) {
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

// --- a directory -------------------------------------------------------------------------------

fn configured(url: &str, lookups: &[(&str, &str)]) -> config::Directory {
    config::Directory {
        at: KeyPath::root(),
        source: DirectorySource::Postgres {
            at: KeyPath::root(),
            url: Secret {
                at: KeyPath::root(),
                value: Redacted::new(url.to_owned()),
                file: None,
            },
            max_connections: 2,
            schema_per_tenant: false,
            search_path_also: Vec::new(),
            lookups: lookups
                .iter()
                .map(|(name, query)| (Arc::from(*name), Arc::from(*query)))
                .collect::<BTreeMap<_, _>>(),
        },
        cache: config::DirectoryCache {
            capacity: 1000,
            ttl: Duration::from_secs(600),
            ttl_without_push: Duration::from_secs(600),
            negative_ttl: Duration::from_secs(600),
            stale_if_error: Duration::ZERO,
        },
        limits: config::DirectoryLimits {
            timeout: Duration::from_secs(20),
            concurrent: 4,
            queue: 100,
        },
    }
}

fn per_schema(config: &mut config::Directory, also: &[&str]) {
    let DirectorySource::Postgres {
        schema_per_tenant,
        search_path_also,
        max_connections,
        ..
    } = &mut config.source
    else {
        panic!("not a postgres directory")
    };
    *schema_per_tenant = true;
    *search_path_also = also.iter().map(ToString::to_string).collect();
    // One connection serves every tenant, so that a search path that stayed on it would be seen.
    *max_connections = 1;
}

fn tenants() -> Tenants {
    Tenants {
        at: KeyPath::root(),
        sources: Vec::new(),
        known: KnownTenants::Any,
        default: None,
        several: true,
    }
}

fn build(config: &config::Directory, tenants: &Tenants) -> Arc<Directory> {
    Directory::build(
        config,
        tenants,
        Arc::new(Metrics::new()),
        tokio::runtime::Handle::current(),
    )
    .unwrap()
}

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

async fn live(
    directory: &Directory,
    of: &str,
    lookup: &str,
    subject: &str,
) -> Result<Live, DirectoryError> {
    let subject = UserId::parse(subject).unwrap();
    directory
        .live(&tenant(of), &Arc::from(lookup), &subject)
        .await
}

/// The account, `none` for none, `unknown` for an unknown user.
async fn account(directory: &Directory, of: &str, user: &str) -> Result<String, DirectoryError> {
    Ok(match live(directory, of, "default", user).await? {
        Live::Known(row) => {
            assert_eq!(row.tenant(), &tenant(of));
            assert_eq!(row.user().as_str(), user);
            row.account().map_or("none".into(), ToString::to_string)
        }
        Live::Unknown => "unknown".into(),
    })
}

// --- tests -------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_every_type_are_read() {
    let server = Server::shared();
    let database = server.database(USERS).await;
    let lookups = [
        ("default", BY_ID),
        (
            "mail",
            "SELECT id, account, active FROM users WHERE email = $user",
        ),
        (
            "key",
            "SELECT id, account, active FROM users WHERE key = $user::uuid",
        ),
        (
            "by_key",
            "SELECT key AS id, account, active FROM users WHERE key = $user::uuid",
        ),
        (
            "twice",
            "SELECT u.*, v.id FROM users u, users v WHERE u.id = $user::bigint AND v.id = 2",
        ),
        (
            "tenant",
            "WITH x AS (SELECT $tenant || '$user' AS id) SELECT id, 1 AS account, true AS active FROM x WHERE $user <> ''",
        ),
    ];
    let directory = build(&configured(&database.url, &lookups), &tenants());
    directory.probe().await.unwrap();
    let Ok(Live::Known(one)) = live(&directory, "a", "default", "1").await else {
        panic!("no row")
    };
    assert_eq!(one.account().unwrap().as_str(), "12");
    assert_eq!(one.roles(), [Arc::from("admin"), Arc::from("staff")]);
    let memberships: Vec<&str> = one.memberships().iter().map(AccountId::as_str).collect();
    assert_eq!(memberships, ["12", "14"]);
    assert_eq!(one.tokens_valid_after().unwrap().as_secs(), 1_767_225_600);
    assert_eq!(one.attributes().get("email").unwrap(), "one@example.com");
    assert!(one.active() && one.account_active());
    let Ok(Live::Known(two)) = live(&directory, "a", "mail", "two@example.com").await else {
        panic!("no row")
    };
    assert!(!two.active() && two.account().is_none());
    assert_eq!(two.user().as_str(), "2");
    assert_eq!(two.subject().as_str(), "two@example.com");
    let key = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for lookup in ["key", "by_key"] {
        let found = live(&directory, "a", lookup, key).await;
        assert!(matches!(found, Ok(Live::Known(_))), "{lookup}");
    }
    let respelt = live(&directory, "a", "by_key", &key.to_uppercase()).await;
    assert!(matches!(respelt, Ok(Live::Unknown)));
    let Ok(Live::Known(named)) = live(&directory, "a", "tenant", "1").await else {
        panic!("no row")
    };
    assert_eq!(named.user().as_str(), "a$user");
    for (lookup, subject) in [("mail", "twin@example.com"), ("twice", "1"), ("none", "1")] {
        let error = live(&directory, "a", lookup, subject).await.unwrap_err();
        assert!(matches!(error, DirectoryError::Unavailable(_)), "{lookup}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e13_what_a_cast_refuses_is_an_unknown_user() {
    let server = Server::shared();
    let database = server.database(USERS).await;
    let directory = build(
        &configured(&database.url, &[("default", BY_ID)]),
        &tenants(),
    );
    for subject in [
        "9",
        "x",
        "1.0",
        "01",
        "+1",
        "0x1",
        "99999999999999999999999",
        "1; DROP TABLE users",
        "1' OR '1'='1",
    ] {
        assert_eq!(
            account(&directory, "a", subject).await.unwrap(),
            "unknown",
            "{subject}"
        );
    }
    assert_eq!(account(&directory, "a", "1").await.unwrap(), "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_an_invalidation_while_the_table_is_locked() {
    let server = Server::shared();
    let mut database = server.database(USERS).await;
    let directory = build(
        &configured(&database.url, &[("default", BY_ID)]),
        &tenants(),
    );
    let mut writer = PgConnection::connect(&database.url).await.unwrap();
    execute(
        &mut writer,
        "BEGIN; LOCK TABLE users; UPDATE users SET account = 13 WHERE id = 1",
    )
    .await;
    let asking = {
        let directory = Arc::clone(&directory);
        tokio::spawn(async move { account(&directory, "a", "1").await })
    };
    until_blocked(&mut database.admin, 1).await;
    execute(&mut writer, "COMMIT").await;
    directory.invalidate(&user("1")).await;
    assert_eq!(account(&directory, "a", "1").await.unwrap(), "13");
    assert_eq!(asking.await.unwrap().unwrap(), "13");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_an_old_row_that_arrives_after_an_invalidation_is_thrown_away() {
    let server = Server::shared();
    let mut database = server.database(USERS).await;
    // The statement sees the rows as they are when it starts, then waits for the lock.
    let held = "SELECT id, account, active FROM users WHERE id = $user::bigint
        AND (SELECT pg_advisory_xact_lock_shared(77)::text) IS NOT NULL";
    let everything = [
        user("1"),
        Invalidation::Account {
            tenant: tenant("a"),
            account: AccountId::parse("12").unwrap(),
        },
        Invalidation::Tenant(tenant("a")),
        Invalidation::All,
    ];
    for what in everything {
        execute(
            &mut database.admin,
            "UPDATE users SET account = 12 WHERE id = 1",
        )
        .await;
        let directory = build(&configured(&database.url, &[("default", held)]), &tenants());
        let mut holder = PgConnection::connect(&database.url).await.unwrap();
        execute(&mut holder, "SELECT pg_advisory_lock(77)").await;
        let asking = {
            let directory = Arc::clone(&directory);
            tokio::spawn(async move { account(&directory, "a", "1").await })
        };
        until_blocked(&mut database.admin, 1).await;
        execute(
            &mut database.admin,
            "UPDATE users SET account = 13 WHERE id = 1",
        )
        .await;
        directory.invalidate(&what).await;
        execute(&mut holder, "SELECT pg_advisory_unlock(77)").await;
        assert_eq!(
            account(&directory, "a", "1").await.unwrap(),
            "13",
            "{what:?}"
        );
        assert_eq!(asking.await.unwrap().unwrap(), "13", "{what:?}");
        assert_eq!(
            account(&directory, "a", "1").await.unwrap(),
            "13",
            "{what:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e1_a_schema_per_tenant_is_that_tenant_alone() {
    let server = Server::shared();
    let weird = "we\"ird, public; --";
    let schemas: String = [("acme", 1), ("Acme", 2), ("we\"\"ird, public; --", 3)]
        .iter()
        .map(|(name, account)| {
            format!(
                "CREATE SCHEMA \"{name}\"; CREATE TABLE \"{name}\".users (id bigint, account int, active boolean);
                 INSERT INTO \"{name}\".users VALUES (5, {account}, true);"
            )
        })
        .collect();
    let database = server
        .database(&format!(
            "{schemas} CREATE SCHEMA empty; CREATE SCHEMA shared;
             CREATE TABLE shared.plans (name text); INSERT INTO shared.plans VALUES ('pro');
             CREATE TABLE public.users (id bigint, account int, active boolean);
             INSERT INTO public.users VALUES (5, 99, true);"
        ))
        .await;
    let lookups = [
        (
            "default",
            "SELECT id, account, active FROM users WHERE id = $user::bigint",
        ),
        (
            "plan",
            "SELECT id, account, active, name AS plan FROM users, plans WHERE id = $user::bigint",
        ),
    ];
    let mut config = configured(&database.url, &lookups);
    per_schema(&mut config, &["shared"]);
    let directory = build(&config, &tenants());
    directory.probe().await.unwrap();
    for round in 0..3 {
        assert_eq!(
            account(&directory, "acme", "5").await.unwrap(),
            "1",
            "{round}"
        );
        assert_eq!(account(&directory, "Acme", "5").await.unwrap(), "2");
        assert_eq!(account(&directory, weird, "5").await.unwrap(), "3");
        for unknown in [
            "public",
            "pg_catalog",
            "pg_temp",
            "information_schema",
            "shared",
            "$user",
            "ACME",
            "nowhere",
            &format!("acme{}", "x".repeat(100)),
        ] {
            assert_eq!(
                account(&directory, unknown, "5").await,
                Err(DirectoryError::TenantUnknown),
                "{unknown}"
            );
        }
        // The schema is there and the table is not: the public one does not stand in for it.
        assert!(matches!(
            account(&directory, "empty", "5").await,
            Err(DirectoryError::Unavailable(_))
        ));
        directory.invalidate(&Invalidation::All).await;
    }
    let Ok(Live::Known(row)) = live(&directory, "acme", "plan", "5").await else {
        panic!("no row")
    };
    assert_eq!(row.attributes().get("plan").unwrap(), "pro");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_a_late_row_meets_no_other_question() {
    let server = Server::shared();
    let mut database = server.database(USERS).await;
    let slow = "SELECT id, account, active FROM users WHERE id = $user::bigint
        AND CASE WHEN id = 1 THEN (SELECT pg_advisory_xact_lock_shared(78)::text) IS NOT NULL ELSE true END";
    let mut config = configured(&database.url, &[("default", slow)]);
    config.limits.timeout = Duration::from_millis(300);
    config.limits.concurrent = 1;
    let directory = build(&config, &tenants());
    assert_eq!(account(&directory, "a", "2").await.unwrap(), "none");
    execute(&mut database.admin, "SELECT pg_advisory_lock(78)").await;
    assert!(account(&directory, "a", "1").await.is_err());
    execute(&mut database.admin, "SELECT pg_advisory_unlock(78)").await;
    for (user, expected) in [("3", "1"), ("1", "12"), ("2", "none"), ("9", "unknown")] {
        assert_eq!(account(&directory, "a", user).await.unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_lost_connections_are_replaced() {
    let server = Server::shared();
    let mut database = server.database(USERS).await;
    let directory = build(
        &configured(&database.url, &[("default", BY_ID)]),
        &tenants(),
    );
    for _ in 0..5 {
        let (one, two) = tokio::join!(account(&directory, "a", "1"), account(&directory, "a", "3"));
        assert_eq!((one.unwrap().as_str(), two.unwrap().as_str()), ("12", "1"));
        execute(
            &mut database.admin,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'countersign'",
        )
        .await;
        directory.invalidate(&Invalidation::All).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_a_server_that_goes_and_comes_back() {
    // Its own, since the others must not notice.
    let server = Server::new();
    let database = server.database(USERS).await;
    let directory = build(
        &configured(&database.url, &[("default", BY_ID)]),
        &tenants(),
    );
    directory.start();
    assert_eq!(account(&directory, "a", "1").await.unwrap(), "12");
    assert!(directory.status().ready);
    server.stop();
    directory.invalidate(&Invalidation::All).await;
    for user in ["1", "9"] {
        assert!(matches!(
            account(&directory, "a", user).await,
            Err(DirectoryError::Unavailable(_))
        ));
    }
    assert!(!directory.status().ready);
    assert!(directory.probe().await.is_err());
    server.start();
    assert_eq!(account(&directory, "a", "1").await.unwrap(), "12");
    assert_eq!(account(&directory, "a", "9").await.unwrap(), "unknown");
    assert!(directory.status().ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_asked_for() {
    let server = Server::shared();
    let domain = "SELECT schema_name AS tenant FROM domains WHERE domain = $host";
    let known = "SELECT schema_name AS tenant FROM domains";
    let mut database = server
        .database(
            "CREATE TABLE domains (domain text, schema_name text);
             INSERT INTO domains VALUES ('a.example.com', 'acme'), ('www.example.com', 'public'),
                ('two.example.com', 'x'), ('two.example.com', 'y');",
        )
        .await;
    let tenants = Tenants {
        sources: vec![TenantSource::Domain {
            query: domain.into(),
        }],
        known: KnownTenants::Query(known.into()),
        ..tenants()
    };
    let lookup = "SELECT 1 AS id, 1 AS account, true AS active WHERE $user = '1'";
    let mut config = configured(&database.url, &[("default", lookup)]);
    per_schema(&mut config, &[]);
    let directory = build(&config, &tenants);
    directory.probe().await.unwrap();
    let (domain, known) = (Arc::from(domain), Arc::from(known));
    let of = |host: &'static str| directory.tenant_of_domain(&domain, host);
    assert_eq!(of("a.example.com").await, Ok(Some(tenant("acme"))));
    assert_eq!(of("b.example.com").await, Ok(None));
    assert_eq!(of("www.example.com").await, Ok(None));
    assert!(of("two.example.com").await.is_err());
    assert_eq!(
        directory.tenant_is_known(&known, &tenant("acme")).await,
        Ok(true)
    );
    assert_eq!(
        directory.tenant_is_known(&known, &tenant("beta")).await,
        Ok(false)
    );
    assert_eq!(
        directory.tenant_is_known(&known, &tenant("public")).await,
        Ok(false)
    );
    execute(
        &mut database.admin,
        "INSERT INTO domains VALUES ('b.example.com', 'beta')",
    )
    .await;
    assert_eq!(of("b.example.com").await, Ok(None));
    directory
        .invalidate(&Invalidation::Tenant(tenant("beta")))
        .await;
    assert_eq!(of("b.example.com").await, Ok(Some(tenant("beta"))));
    assert_eq!(
        directory.tenant_is_known(&known, &tenant("beta")).await,
        Ok(true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_a_probe_names_every_query_that_is_wrong() {
    let server = Server::shared();
    let database = server.database(USERS).await;
    let lookups = [
        (
            "gone",
            "SELECT id, account, active FROM people WHERE id = $user::bigint",
        ),
        (
            "short",
            "SELECT id, account FROM users WHERE id = $user::bigint",
        ),
        (
            "text",
            "SELECT id, account, email AS active FROM users WHERE id = $user::bigint",
        ),
        (
            "uncast",
            "SELECT id, account, active FROM users WHERE id = $user",
        ),
        ("fine", BY_ID),
    ];
    let directory = build(&configured(&database.url, &lookups), &tenants());
    let problem = directory.probe().await.unwrap_err();
    for expected in [
        "`gone`",
        "people",
        "`short`: the query has no column `active`",
        "`text`: column `active` has the type TEXT",
        "`uncast`",
    ] {
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
    assert!(!problem.contains("`fine`"), "{problem}");
    assert!(!directory.status().ready);
}

fn user(user: &str) -> Invalidation {
    Invalidation::User {
        tenant: tenant("a"),
        user: UserId::parse(user).unwrap(),
    }
}
