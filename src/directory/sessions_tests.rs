//! Answers about sessions: kept shortly, never beyond what says that they changed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::testing::with_life;
use super::*;

const LIFE: Duration = Duration::from_secs(10);

fn sessions() -> Sessions {
    Sessions::new(&config::Directory {
        session_tables: BTreeMap::from([(0, vec!["a".into()]), (3, vec!["b".into()])]),
        ..with_life(LIFE)
    })
}

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn key(store: usize, of: &str, key: &str) -> SessionKey {
    SessionKey {
        store,
        tenant: tenant(of),
        key: key.into(),
    }
}

fn known() -> SessionAnswer {
    let stored = StoredSession::new(
        SessionData::Row(Redacted::new("x".into())),
        UnixTime::from_secs(1),
    );
    SessionAnswer::Known(Arc::new(stored))
}

fn ended(of: &str, key: &str) -> Invalidation {
    Invalidation::Session {
        tenant: tenant(of),
        key: key.into(),
    }
}

#[test]
fn an_answer_lives_no_longer_than_what_nobody_pushes() {
    let (sessions, now) = (sessions(), Instant::now());
    sessions.store(sessions.ticket(), now, &key(0, "a", "k"), known());
    sessions.store(
        sessions.ticket(),
        now,
        &key(0, "a", "m"),
        SessionAnswer::NoSession,
    );
    assert!(sessions.get(&key(0, "a", "k"), now).is_some());
    assert!(sessions.get(&key(0, "a", "m"), now).is_some());
    assert!(sessions.get(&key(0, "a", "m"), now + LIFE / 2).is_none());
    assert!(sessions.get(&key(0, "a", "k"), now + LIFE).is_none());
}

#[test]
fn e14_tenant_credential_and_key_are_kept_apart() {
    let (sessions, now) = (sessions(), Instant::now());
    sessions.store(sessions.ticket(), now, &key(0, "a", "k"), known());
    for other in [key(3, "a", "k"), key(0, "b", "k"), key(0, "a", "K")] {
        assert!(sessions.get(&other, now).is_none(), "{other:?}");
    }
}

#[test]
fn what_ended_is_forgotten_and_others_are_not() {
    let (sessions, now) = (sessions(), Instant::now());
    for (store, of) in [(0, "a"), (3, "a"), (0, "b")] {
        sessions.store(sessions.ticket(), now, &key(store, of, "k"), known());
    }
    sessions.invalidate(&ended("a", "k"));
    assert!(sessions.get(&key(0, "a", "k"), now).is_none());
    assert!(sessions.get(&key(3, "a", "k"), now).is_none());
    assert!(sessions.get(&key(0, "b", "k"), now).is_some());
    for everything in [Invalidation::Tenant(tenant("c")), Invalidation::All] {
        sessions.store(sessions.ticket(), now, &key(0, "b", "k"), known());
        sessions.invalidate(&everything);
        assert!(sessions.get(&key(0, "b", "k"), now).is_none());
    }
}

#[test]
fn e16_an_answer_from_before_its_end_is_not_stored() {
    let (sessions, now) = (sessions(), Instant::now());
    for what in [
        ended("a", "k"),
        Invalidation::Tenant(tenant("a")),
        Invalidation::All,
    ] {
        let ticket = sessions.ticket();
        sessions.invalidate(&what);
        let stored = sessions.store(ticket, now, &key(0, "a", "k"), known());
        assert!(stored.is_none(), "{what:?}");
        assert!(sessions.get(&key(0, "a", "k"), now).is_none(), "{what:?}");
    }
    let ticket = sessions.ticket();
    sessions.invalidate(&ended("a", "other"));
    sessions.invalidate(&ended("b", "k"));
    assert!(
        sessions
            .store(ticket, now, &key(0, "a", "k"), known())
            .is_some()
    );
}

#[test]
fn a_session_is_opened_once() {
    let stored = StoredSession::new(
        SessionData::Row(Redacted::new("data".into())),
        UnixTime::from_secs(1),
    );
    let read = |data: &SessionData| {
        assert!(matches!(data, SessionData::Row(text) if text.expose() == "data"));
        Err(SessionError::Signature)
    };
    assert_eq!(stored.open(read).err(), Some(SessionError::Signature));
    let again = stored.open(|_| unreachable!("it is open"));
    assert_eq!(again.err(), Some(SessionError::Signature));
}
