//! Tests of leases: nothing between the decision and the wait is lost.

use std::time::Instant;

use futures_util::FutureExt;

use super::super::binding::Edition;
use super::super::key::Key;
use super::super::record::Record;
use super::super::testing::{account, key, user};
use super::*;

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn binding(subject: &str) -> Binding {
    let row = serde_json::json!({"id": 5, "account": 12, "active": true, "memberships": [12, 14]});
    let serde_json::Value::Object(row) = row else {
        unreachable!()
    };
    Binding::new(
        Key::clone(&key("a", subject)),
        Record::read(row).unwrap(),
        Edition::new(),
        1,
        Instant::now(),
    )
}

fn told(lease: &mut Lease) -> bool {
    lease.changed().now_or_never().is_some()
}

#[test]
fn until_it_is_narrowed_it_covers_its_tenant() {
    let leases = Leases::default();
    let mut lease = leases.register(&tenant("a"));
    assert!(!told(&mut lease));
    for what in [
        user("a", "99"),
        account("a", "99"),
        Invalidation::Tenant(tenant("a")),
        Invalidation::Session {
            tenant: tenant("a"),
            key: "k".into(),
        },
        Invalidation::All,
    ] {
        leases.tell(&what);
        assert!(told(&mut lease), "{what:?}");
        assert!(!told(&mut lease), "{what:?}");
    }
    leases.tell(&user("b", "5"));
    leases.tell(&Invalidation::Tenant(tenant("b")));
    assert!(!told(&mut lease));
}

#[test]
fn e12_what_happens_before_the_wait_is_not_lost() {
    let leases = Leases::default();
    let mut lease = leases.register(&tenant("a"));
    leases.tell(&user("a", "5"));
    lease.narrow(&binding("5"), [], []);
    assert!(told(&mut lease));
    leases.tell(&user("a", "5"));
    leases.tell(&user("a", "5"));
    assert!(told(&mut lease));
    assert!(!told(&mut lease));
}

#[test]
fn narrowed_it_hears_of_its_user_and_every_account_of_the_row() {
    let leases = Leases::default();
    let mut lease = leases.register(&tenant("a"));
    lease.narrow(&binding("bob@example.com"), [], []);
    for what in [
        user("a", "5"),
        user("a", "bob@example.com"),
        account("a", "12"),
        account("a", "14"),
        Invalidation::Tenant(tenant("a")),
        Invalidation::All,
    ] {
        leases.tell(&what);
        assert!(told(&mut lease), "{what:?}");
    }
    for what in [
        user("a", "6"),
        account("a", "13"),
        user("b", "5"),
        account("b", "12"),
    ] {
        leases.tell(&what);
        assert!(!told(&mut lease), "{what:?}");
    }
}

#[test]
fn narrowed_it_hears_of_its_own_session_and_of_no_other() {
    let leases = Leases::default();
    let (mut with, mut without) = (leases.register(&tenant("a")), leases.register(&tenant("a")));
    with.narrow(&binding("5"), [], ["k"]);
    without.narrow(&binding("5"), [], []);
    let ended = |of: &str, key: &str| Invalidation::Session {
        tenant: tenant(of),
        key: key.into(),
    };
    leases.tell(&ended("a", "k"));
    assert!(told(&mut with));
    assert!(!told(&mut without));
    for other in [ended("a", "K"), ended("b", "k")] {
        leases.tell(&other);
        assert!(!told(&mut with), "{other:?}");
    }
}

#[test]
fn nothing_is_kept_of_a_dropped_lease() {
    let leases = Leases::default();
    let mut held: Vec<Lease> = (0..100)
        .map(|n| leases.register(&tenant(&format!("t{}", n % 7))))
        .collect();
    for lease in held.iter_mut().step_by(2) {
        lease.narrow(&binding("5"), [], []);
    }
    drop(held);
    for shard in leases.shards.iter() {
        assert!(lock(shard).is_empty());
    }
}

#[tokio::test]
async fn a_waiter_on_another_thread_is_woken() {
    let leases = Leases::default();
    let mut lease = leases.register(&tenant("a"));
    let waiter = tokio::spawn(async move {
        lease.changed().await;
        lease
    });
    tokio::task::yield_now().await;
    std::thread::scope(|scope| {
        scope.spawn(|| leases.tell(&Invalidation::All));
    });
    waiter.await.unwrap();
}
