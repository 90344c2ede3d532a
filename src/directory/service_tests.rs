//! Tests of the directory through its door, in front of a server that holds its answers.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::config::{DirectorySource, KeyPath, KnownTenants};
use crate::ids::AccountId;

/// One question that waits for its answer.
struct Asked {
    path: String,
    stream: tokio::net::TcpStream,
}

impl Asked {
    async fn answer(mut self, status: &str, body: &str) {
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        // One who has stopped waiting has closed the connection.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    async fn row(self, user: &str, account: &str) {
        let row = json!({"user": user, "account": account, "active": true}).to_string();
        self.answer("200 OK", &row).await;
    }
}

/// A server that hands every question to the test.
async fn server() -> (u16, mpsc::UnboundedReceiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (questions, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if questions.send(Asked { path, stream }).is_err() {
                return;
            }
        }
    });
    (port, asked)
}

fn tenants() -> config::Tenants {
    config::Tenants {
        at: KeyPath::root(),
        sources: Vec::new(),
        known: KnownTenants::Any,
        default: None,
        several: true,
    }
}

fn configured(source: DirectorySource) -> config::Directory {
    config::Directory {
        at: KeyPath::root(),
        source,
        cache: config::DirectoryCache {
            capacity: 1000,
            ttl: Duration::from_mins(10),
            ttl_without_push: Duration::from_mins(10),
            negative_ttl: Duration::from_mins(10),
            stale_if_error: Duration::ZERO,
        },
        limits: config::DirectoryLimits {
            timeout: Duration::from_secs(30),
            concurrent: 4,
            queue: 4,
        },
        session_tables: BTreeMap::new(),
        blacklist: None,
        session_caches: BTreeMap::new(),
        invalidation: config::Invalidation::default(),
    }
}

fn http(port: u16) -> config::Directory {
    configured(DirectorySource::Http {
        at: KeyPath::root(),
        url: format!("http://127.0.0.1:{port}/{{tenant}}/{{user}}"),
        headers: Vec::new(),
        fields: BTreeMap::new(),
    })
}

fn directory(config: &config::Directory) -> Arc<Directory> {
    let metrics = Arc::new(Metrics::new());
    Directory::build(config, &tenants(), metrics, Handle::current()).unwrap()
}

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn user(of: &str, user: &str) -> Invalidation {
    Invalidation::User {
        tenant: tenant(of),
        user: UserId::parse(user).unwrap(),
    }
}

async fn account(directory: &Directory, of: &str, user: &str) -> Result<String, DirectoryError> {
    let lookup = Arc::from("default");
    let subject = UserId::parse(user).unwrap();
    match directory.live(&tenant(of), &lookup, &subject).await? {
        Live::Known(row) => {
            assert_eq!(row.tenant(), &tenant(of));
            Ok(row.account().unwrap().to_string())
        }
        Live::Unknown => Ok("unknown".into()),
    }
}

fn spawn_account(
    directory: &Arc<Directory>,
    user: &'static str,
) -> tokio::task::JoinHandle<Result<String, DirectoryError>> {
    let directory = Arc::clone(directory);
    tokio::spawn(async move { account(&directory, "a", user).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_an_invalidation_in_the_middle_of_a_fill_is_not_outlived() {
    let everything = [
        user("a", "5"),
        Invalidation::Account {
            tenant: tenant("a"),
            account: AccountId::parse("old").unwrap(),
        },
        Invalidation::Tenant(tenant("a")),
        Invalidation::All,
    ];
    for what in everything {
        let (port, mut asked) = server().await;
        let directory = directory(&http(port));
        let first = spawn_account(&directory, "5");
        let held = asked.recv().await.unwrap();
        assert_eq!(held.path, "/a/5");
        directory.invalidate(&what).await;
        held.row("5", "old").await;
        // The old row is thrown away, and the source is asked again for the one who waits.
        asked.recv().await.unwrap().row("5", "new").await;
        assert_eq!(first.await.unwrap().unwrap(), "new", "{what:?}");
        assert_eq!(account(&directory, "a", "5").await.unwrap(), "new");
        assert!(asked.try_recv().is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_the_next_request_after_an_invalidation_asks_again() {
    let (port, mut asked) = server().await;
    let directory = directory(&http(port));
    let first = spawn_account(&directory, "5");
    asked.recv().await.unwrap().row("5", "1").await;
    assert_eq!(first.await.unwrap().unwrap(), "1");
    assert_eq!(account(&directory, "a", "5").await.unwrap(), "1");
    directory.invalidate(&user("b", "5")).await;
    assert_eq!(account(&directory, "a", "5").await.unwrap(), "1");
    directory.invalidate(&user("a", "5")).await;
    let second = spawn_account(&directory, "5");
    asked.recv().await.unwrap().row("5", "2").await;
    assert_eq!(second.await.unwrap().unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_one_who_goes_away_cancels_nothing() {
    let (port, mut asked) = server().await;
    let directory = directory(&http(port));
    let first = spawn_account(&directory, "5");
    let held = asked.recv().await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = spawn_account(&directory, "5");
    held.row("5", "1").await;
    assert_eq!(second.await.unwrap().unwrap(), "1");
    assert!(asked.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e13_unknown_is_remembered_and_a_failure_never_is() {
    let (port, mut asked) = server().await;
    let directory = directory(&http(port));
    let unknown = spawn_account(&directory, "9");
    asked
        .recv()
        .await
        .unwrap()
        .answer("404 Not Found", "")
        .await;
    assert_eq!(unknown.await.unwrap().unwrap(), "unknown");
    assert_eq!(account(&directory, "a", "9").await.unwrap(), "unknown");
    for status in [
        "500 Oh",
        "204 No Content",
        "302 Found",
        "401 Unauthorized",
        "200 OK",
    ] {
        let failing = spawn_account(&directory, "8");
        asked.recv().await.unwrap().answer(status, "<html>").await;
        let error = failing.await.unwrap().unwrap_err();
        assert_eq!(
            error.reason(),
            crate::reason::Reason::DirectoryUnavailable,
            "{status}"
        );
        assert!(!directory.status().ready);
    }
    let mixed_up = spawn_account(&directory, "8");
    asked.recv().await.unwrap().row("7", "1").await;
    assert!(mixed_up.await.unwrap().is_err());
    let well = spawn_account(&directory, "8");
    asked.recv().await.unwrap().row("8", "1").await;
    assert_eq!(well.await.unwrap().unwrap(), "1");
    assert!(directory.status().ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e25_beyond_the_queue_look_ups_fail_at_once() {
    let (port, mut asked) = server().await;
    let mut config = http(port);
    config.limits.concurrent = 1;
    config.limits.queue = 0;
    let directory = directory(&config);
    let first = spawn_account(&directory, "5");
    let held = asked.recv().await.unwrap();
    assert_eq!(
        account(&directory, "a", "6").await,
        Err(DirectoryError::Overloaded)
    );
    held.row("5", "1").await;
    assert_eq!(first.await.unwrap().unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_a_source_that_does_not_answer_in_time_is_unavailable() {
    let (port, mut asked) = server().await;
    let mut config = http(port);
    config.limits.timeout = Duration::from_millis(50);
    let directory = directory(&config);
    let late = spawn_account(&directory, "5");
    let _held = asked.recv().await.unwrap();
    assert!(matches!(
        late.await.unwrap(),
        Err(DirectoryError::Unavailable(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_a_stale_record_serves_while_the_source_fails_but_never_once_invalidated() {
    let (port, mut asked) = server().await;
    let mut config = http(port);
    config.cache.ttl_without_push = Duration::ZERO;
    config.cache.stale_if_error = Duration::from_mins(10);
    let directory = directory(&config);
    let first = spawn_account(&directory, "5");
    asked.recv().await.unwrap().row("5", "1").await;
    assert_eq!(first.await.unwrap().unwrap(), "1");
    let stale = spawn_account(&directory, "5");
    asked.recv().await.unwrap().answer("500 Oh", "").await;
    assert_eq!(stale.await.unwrap().unwrap(), "1");
    assert_eq!(directory.desk.metrics.directory_stale.get(), 1);
    directory.invalidate(&user("a", "5")).await;
    let gone = spawn_account(&directory, "5");
    asked.recv().await.unwrap().answer("500 Oh", "").await;
    assert!(gone.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e12_a_lease_hears_of_a_change_and_then_sees_it() {
    let (port, mut asked) = server().await;
    let directory = directory(&http(port));
    let mut lease = directory.leases().register(&tenant("a"));
    let first = spawn_account(&directory, "5");
    asked.recv().await.unwrap().row("5", "1").await;
    first.await.unwrap().unwrap();
    let row = directory.cached(
        &tenant("a"),
        &"default".into(),
        &UserId::parse("5").unwrap(),
    );
    lease.narrow(&row.unwrap(), [], []);
    directory.invalidate(&user("a", "5")).await;
    lease.changed().await;
    assert!(
        directory
            .cached(
                &tenant("a"),
                &"default".into(),
                &UserId::parse("5").unwrap()
            )
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_a_replaced_file_holds_once_the_invalidation_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.yaml");
    let write = |account: &str| {
        let next = folder.path().join("next");
        std::fs::write(
            &next,
            format!("users: [ {{ tenant: a, user: 5, account: {account} }} ]"),
        )
        .unwrap();
        std::fs::rename(&next, &path).unwrap();
    };
    write("1");
    let directory = directory(&configured(DirectorySource::File {
        at: KeyPath::root(),
        path: path.clone(),
    }));
    assert!(directory.status().ready);
    for n in 1..20 {
        let old = n.to_string();
        assert_eq!(account(&directory, "a", "5").await.unwrap(), old);
        write(&(n + 1).to_string());
        // Any message does: what is read again is the file, and what changed there is forgotten.
        directory.invalidate(&user("b", "77")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_file_is_noticed_without_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.yaml");
    std::fs::write(&path, "users: [ { tenant: a, user: 5, account: 1 } ]").unwrap();
    let directory = directory(&configured(DirectorySource::File {
        at: KeyPath::root(),
        path: path.clone(),
    }));
    directory.start();
    let mut lease = directory.leases().register(&tenant("a"));
    assert_eq!(account(&directory, "a", "5").await.unwrap(), "1");
    let next = folder.path().join("next");
    std::fs::write(&next, "users: [ { tenant: a, user: 5, account: 2 } ]").unwrap();
    std::fs::rename(&next, &path).unwrap();
    lease.changed().await;
    assert_eq!(account(&directory, "a", "5").await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e20_garbage_clears_everything_once_for_all_who_wait() {
    let (port, mut asked) = server().await;
    let directory = directory(&http(port));
    let first = spawn_account(&directory, "5");
    asked.recv().await.unwrap().row("5", "1").await;
    first.await.unwrap().unwrap();
    assert_eq!(directory.apply_message(b"garbage").await, Invalidation::All);
    assert_eq!(directory.desk.metrics.invalidations.get(), 1);
    let garbage = (0..50).map(|_| directory.apply_message(b"garbage"));
    futures_util::future::join_all(garbage).await;
    assert_eq!(directory.desk.metrics.invalidations.get(), 2);
    directory.apply_message(br#"{"tenant":"a"}"#).await;
    assert_eq!(directory.desk.metrics.invalidations.get(), 3);
}

#[test]
fn queries_about_tenants_need_a_database() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut tenants = tenants();
    tenants.known = KnownTenants::Query("SELECT 1 AS tenant".into());
    tenants.sources = vec![config::TenantSource::Domain {
        query: "SELECT 1 AS tenant WHERE 'x' = $host".into(),
    }];
    let metrics = Arc::new(Metrics::new());
    let built = Directory::build(&http(1), &tenants, metrics, runtime.handle().clone());
    assert_eq!(built.unwrap_err().len(), 2);
}
