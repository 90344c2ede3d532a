//! Answers about tokens: kept shortly, never beyond what says that they changed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::testing::with_life;
use super::*;
use crate::config::KeyPath;
use crate::ids::AccountId;

const LIFE: Duration = Duration::from_secs(10);

fn blacklist() -> Blacklist {
    let config = config::Directory {
        blacklist: Some(config::Blacklist {
            at: KeyPath::root(),
            issuers: BTreeSet::from([0]),
            database: None,
            outstanding: vec!["o".into()],
            blacklisted: vec!["b".into()],
        }),
        ..with_life(LIFE)
    };
    let tenants = config::Tenants {
        at: KeyPath::root(),
        sources: Vec::new(),
        several: false,
        known: config::KnownTenants::Any,
        default: None,
    };
    Blacklist::build(&config, &tenants).unwrap().unwrap()
}

fn user(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn key(of: &str, subject: &str, id: &str) -> TokenKey {
    TokenKey {
        tenant: tenant(of),
        subject: user(subject),
        id: id.into(),
    }
}

fn made(whose: &str) -> ListedToken {
    ListedToken::Made {
        user: Some(user(whose)),
        blacklisted: false,
    }
}

fn changed(of: &str, whose: &str) -> Invalidation {
    Invalidation::User {
        tenant: tenant(of),
        user: user(whose),
    }
}

fn keep(list: &Blacklist, key: &TokenKey, answer: ListedToken, now: Instant) -> bool {
    list.store(list.floors.number(), now, key, answer).is_some()
}

#[test]
fn an_answer_lives_no_longer_than_what_nobody_pushes() {
    let (list, now) = (blacklist(), Instant::now());
    let (known, unknown) = (key("a", "5", "known"), key("a", "5", "unknown"));
    assert!(keep(&list, &known, made("5"), now));
    assert!(keep(&list, &unknown, ListedToken::Unknown, now));
    assert!(list.get(&known, now).is_some() && list.get(&unknown, now).is_some());
    assert!(list.get(&unknown, now + LIFE / 2).is_none());
    assert!(list.get(&known, now + LIFE / 2).is_some());
    assert!(list.get(&known, now + LIFE).is_none());
}

#[test]
fn e14_tenant_subject_and_id_are_kept_apart() {
    let (list, now) = (blacklist(), Instant::now());
    assert!(keep(&list, &key("a", "5", "k"), made("5"), now));
    for other in [key("b", "5", "k"), key("a", "6", "k"), key("a", "5", "K")] {
        assert!(list.get(&other, now).is_none(), "{other:?}");
    }
}

#[test]
fn e16_what_was_asked_for_before_falls_and_is_not_kept() {
    let (list, now) = (blacklist(), Instant::now());
    // The subject is another name than the list's own.
    let bob = key("a", "bob", "k");
    for what in [
        changed("a", "bob"),
        changed("a", "5"),
        Invalidation::Tenant(tenant("a")),
        Invalidation::All,
    ] {
        assert!(keep(&list, &bob, made("5"), now));
        let before = list.floors.number();
        list.invalidate(&what);
        assert!(list.get(&bob, now).is_none(), "{what:?}");
        let late = list.store(before, now, &bob, made("5"));
        assert!(late.is_none(), "{what:?}");
        assert!(keep(&list, &bob, made("5"), now), "{what:?}");
        assert!(list.get(&bob, now).is_some(), "{what:?}");
    }
    // An answer that names nobody falls with its subject.
    let unknown = key("a", "5", "unknown");
    assert!(keep(&list, &unknown, ListedToken::Unknown, now));
    list.invalidate(&changed("a", "5"));
    assert!(list.get(&unknown, now).is_none());
}

#[test]
fn what_concerns_others_takes_nothing_back() {
    let (list, now) = (blacklist(), Instant::now());
    let five = key("a", "5", "k");
    assert!(keep(&list, &five, made("5"), now));
    let before = list.floors.number();
    for what in [
        changed("b", "5"),
        Invalidation::Tenant(tenant("b")),
        Invalidation::Account {
            tenant: tenant("a"),
            account: AccountId::parse("12").unwrap(),
        },
        Invalidation::Session {
            tenant: tenant("a"),
            key: "k".into(),
        },
    ] {
        list.invalidate(&what);
    }
    // Names of one hash share a floor, so it is a matter of luck for one of them, not for all.
    let lucky = ["5", "6", "7"].iter().any(|subject| {
        let key = key("a", subject, "k");
        list.store(before, now, &key, made(subject)).is_some()
    });
    assert!(lucky);
}
