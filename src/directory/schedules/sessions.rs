//! Sessions: after a log-out is acknowledged, the session is not given out any more.

use super::super::sessions::{SessionAnswer, SessionData, SessionKey, StoredSession};
use super::super::source::FoundSession;
use super::super::sync::AtomicBool;
use super::*;
use crate::telemetry::{Redacted, UnixTime};

fn found(state: u64) -> FoundSession {
    if state == 1 {
        return FoundSession::NoSession;
    }
    let data = SessionData::Row(Redacted::new(String::new()));
    let session = StoredSession::new(data, UnixTime::from_secs(state));
    FoundSession::Session(Box::new(session))
}

fn fits(answer: &SessionAnswer, state: u64) -> bool {
    match answer {
        SessionAnswer::Known(session) => session.expires() == UnixTime::from_secs(state),
        SessionAnswer::NoSession => state == 1,
        SessionAnswer::NoTenant => false,
    }
}

async fn session(truth: &Arc<Truth>, key: &SessionKey) -> SessionAnswer {
    let start = |seat| {
        let (truth, key) = (Arc::clone(truth), key.clone());
        spawn(async move {
            let find = async || Ok(found(truth.read().await));
            let table_asked = AtomicBool::new(true);
            truth
                .desk
                .fill_session(&key, seat, &table_asked, find)
                .await;
        });
    };
    truth.desk.session(key, start).await.unwrap()
}

fn said(way: u32) -> Invalidation {
    match way {
        0 => Invalidation::Session {
            tenant: tenant(),
            key: "k".into(),
        },
        1 => Invalidation::Tenant(tenant()),
        _ => Invalidation::All,
    }
}

#[test]
fn e16_no_schedule_gives_out_a_session_older_than_an_acknowledged_change() {
    schedules(async || {
        let truth = Truth::new();
        let mut tasks = vec![
            change(&truth, said(one_of(3))),
            change(&truth, said(one_of(3))),
        ];
        for _ in 0..2 {
            let truth = Arc::clone(&truth);
            tasks.push(spawn(async move {
                let key = SessionKey::new(0, &tenant(), "k");
                for _ in 0..2 {
                    truth.check(session(&truth, &key), fits).await;
                }
            }));
        }
        all(tasks).await;
        let key = SessionKey::new(0, &tenant(), "k");
        truth.check(session(&truth, &key), fits).await;
    });
}
