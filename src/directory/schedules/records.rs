//! Records: after an invalidation is acknowledged, no answer older than it is given.

use super::super::cache::{Absence, Answer, Cache, Cached};
use super::super::flight::Seat;
use super::super::key::{Key, KeyRef};
use super::super::near::Near;
use super::super::testing::{self, account, row, user};
use super::*;

/// The state in which user 7 does not exist.
const GONE: u64 = 1;

/// By his id, or by another name.
pub(super) fn key(subject: &str) -> Arc<Key> {
    testing::key("a", subject)
}

/// What the source says of user 7 in this state: in one he does not exist.
fn answer(state: u64) -> Answer {
    if state == GONE {
        return Answer::Absent(Absence::User);
    }
    row("7", &state.to_string())
}

fn fits(cached: &Cached, state: u64) -> bool {
    match cached {
        Cached::Absent(_) => state == GONE,
        Cached::Known(row) => row.account().unwrap().as_str() == state.to_string(),
    }
}

/// Each of them concerns user 7, by whatever name he is looked up.
pub(super) fn said(way: u32) -> Invalidation {
    match way {
        0 => user("a", "7"),
        1 => account("a", "m"),
        2 => testing::tenant("a"),
        _ => Invalidation::All,
    }
}

/// A request for the live record; look-ups are tasks of their own.
pub(super) async fn live(truth: &Arc<Truth>, key: &Arc<Key>) -> Cached {
    let start = |key, seat| look_up(truth, key, seat);
    let desk = &truth.desk;
    desk.live(KeyRef::of(key), Cache::get, start).await.unwrap()
}

/// The same for a core that keeps what it was given.
async fn live_near(truth: &Arc<Truth>, near: &Near, key: &Arc<Key>) -> Cached {
    let start = |key, seat| look_up(truth, key, seat);
    let desk = &truth.desk;
    let get = |cache: &Cache, key: KeyRef<'_>, now| cache.get_near(near, key, now);
    desk.live(KeyRef::of(key), get, start).await.unwrap()
}

fn look_up(truth: &Arc<Truth>, key: Arc<Key>, seat: Seat<Arc<Key>, Cached>) {
    let truth = Arc::clone(truth);
    spawn(async move {
        let find = async || Ok(answer(truth.read().await));
        truth.desk.fill(&key, seat, find).await;
    });
}

#[test]
fn e16_no_schedule_gives_out_a_record_older_than_an_acknowledged_change() {
    schedules(async || {
        let truth = Truth::new();
        let mut tasks = vec![
            change(&truth, said(one_of(4))),
            change(&truth, said(one_of(4))),
        ];
        for _ in 0..2 {
            let truth = Arc::clone(&truth);
            tasks.push(spawn_local(async move {
                let near = truth.desk.cache.near();
                // A request that is not done yet holds on to its record.
                let mut held = Vec::new();
                for _ in 0..3 {
                    let key = key(["7", "bob@example.com"][one_of(2) as usize]);
                    held.push(truth.check(live_near(&truth, &near, &key), fits).await);
                    let stale = async || truth.desk.cache.stale(KeyRef::of(&key), now());
                    let fits = |row: &Option<_>, state| {
                        row.clone()
                            .is_none_or(|row| fits(&Cached::Known(row), state))
                    };
                    truth.check(stale(), fits).await;
                }
            }));
        }
        all(tasks).await;
        for subject in ["7", "bob@example.com"] {
            let key = key(subject);
            truth.check(live(&truth, &key), fits).await;
        }
    });
}

/// The same with nothing around it, so that the few steps of a fill and of an invalidation meet in
/// more ways.
#[test]
fn e16_no_schedule_keeps_a_row_older_than_an_acknowledged_change() {
    schedules(async || {
        let truth = Truth::new();
        let key = key("bob@example.com");
        let fills = (0..2).map(|_| {
            let (truth, key) = (Arc::clone(&truth), Arc::clone(&key));
            spawn(async move {
                let ticket = truth.desk.cache.ticket(now());
                let state = truth.state.load(SeqCst);
                truth.desk.cache.store(ticket, &key, answer(state));
            })
        });
        let mut tasks: Vec<_> = fills.collect();
        for _ in 0..=one_of(2) {
            tasks.push(change(&truth, said(one_of(4))));
        }
        all(tasks).await;
        let kept = async || truth.desk.cache.get(KeyRef::of(&key), now());
        let fits = |kept: &Option<_>, state| kept.as_ref().is_none_or(|kept| fits(kept, state));
        truth.check(kept(), fits).await;
        // And the index holds what the entries name, each a subject, a user and two accounts.
        let cache = &truth.desk.cache;
        assert_eq!(cache.references(), [cache.entries() * 4, cache.absences()]);
    });
}

/// A core has a record, and a request that holds on to it. While the entry goes for want of room, which
/// the index hears of later, something newer comes: an invalidation, or another look-up.
#[test]
fn e16_no_schedule_lets_a_core_keep_what_is_evicted_meanwhile() {
    schedules(async || {
        let (truth, key) = (Truth::new(), key("bob@example.com"));
        let near = truth.desk.cache.near();
        // After state 0 comes the one in which he is gone.
        let first = [0, GONE + 1][one_of(2) as usize];
        truth.state.store(first, SeqCst);
        let held = store(&truth, &key, first);
        let get = async || {
            let (cache, key) = (&truth.desk.cache, KeyRef::of(&key));
            // The core's own way, or the cache's, as when the cache is to hear of it.
            match one_of(3) {
                0 => cache.get(key, now()),
                _ => cache.get_near(&near, key, now()),
            }
        };
        get().await;
        let mut seen = first;
        let evictor = {
            let truth = Arc::clone(&truth);
            spawn(async move { truth.desk.cache.run_pending_tasks() })
        };
        let newer = if one_of(2) == 0 {
            change(&truth, said(one_of(4)))
        } else {
            let (truth, key) = (Arc::clone(&truth), Arc::clone(&key));
            spawn(async move {
                for _ in 0..=one_of(2) {
                    let state = truth.state.fetch_add(1, SeqCst) + 1;
                    if store(&truth, &key, state).is_some() {
                        truth.acknowledged.fetch_max(state, SeqCst);
                    }
                }
            })
        };
        let fits = |told: &Option<_>, state| told.as_ref().is_none_or(|told| fits(told, state));
        for _ in 0..4 {
            let state = match truth.check(get(), fits).await {
                Some(Cached::Known(row)) => row.account().unwrap().as_str().parse().unwrap(),
                Some(Cached::Absent(_)) => GONE,
                None => seen,
            };
            assert!(state >= seen, "state {state} after {seen}");
            seen = state;
            yield_now().await;
        }
        all(vec![evictor, newer]).await;
        truth.check(get(), fits).await;
        drop(held);
    });
}

fn store(truth: &Truth, key: &Arc<Key>, state: u64) -> Option<Cached> {
    let cache = &truth.desk.cache;
    cache.store(cache.ticket(now()), key, answer(state))
}

fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A change of somebody else's outdates nothing, so one look-up is enough however it falls.
#[test]
fn no_schedule_asks_again_because_of_somebody_else() {
    schedules(async || {
        let truth = Truth::new();
        let other = user("a", "8");
        let key = key("7");
        let others = {
            let truth = Arc::clone(&truth);
            spawn(async move { truth.desk.apply(&other) })
        };
        let asked = Arc::new(AtomicU64::new(0));
        let requests = (0..3).map(|_| {
            let (truth, key, asked) = (Arc::clone(&truth), Arc::clone(&key), Arc::clone(&asked));
            spawn(async move {
                let start = |key: Arc<Key>, seat: Seat<_, _>| {
                    let (truth, asked) = (Arc::clone(&truth), Arc::clone(&asked));
                    spawn(async move {
                        let find = async || {
                            asked.fetch_add(1, SeqCst);
                            pause().await;
                            Ok(answer(0))
                        };
                        truth.desk.fill(&key, seat, find).await;
                    });
                };
                let desk = &truth.desk;
                desk.live(KeyRef::of(&key), Cache::get, start)
                    .await
                    .unwrap();
            })
        });
        let mut tasks: Vec<_> = requests.collect();
        tasks.push(others);
        all(tasks).await;
        // Each time that it was evicted it may be asked for once more, never twice at once.
        assert!((1..=3).contains(&asked.load(SeqCst)));
    });
}
