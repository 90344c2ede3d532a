//! Tests of what a core keeps: it finds what it was given, stays small, and is never believed.

use std::time::{Duration, Instant};

use super::super::cache::{Absence, Answer, Cache, Cached};
use super::super::key::{Key, KeyRef};
use super::super::testing::{self, row, what_concerns_bob};
use super::*;
use crate::config;

const TTL: Duration = Duration::from_secs(10);
const CAPACITY: u64 = 100;

/// More than a core asks until the cache hears of one use, the way its dice fall.
const OFTEN: usize = 4 * 32;

fn cache() -> Cache {
    of_capacity(CAPACITY)
}

fn of_capacity(capacity: u64) -> Cache {
    Cache::new(&config::DirectoryCache {
        capacity,
        ttl: TTL,
        ttl_without_push: TTL,
        negative_ttl: TTL,
        stale_if_error: Duration::ZERO,
    })
}

fn key(subject: &str) -> Arc<Key> {
    testing::key("a", subject)
}

fn fill(cache: &Cache, key: &Arc<Key>, answer: Answer, now: Instant) -> Cached {
    cache.store(cache.ticket(now), key, answer).unwrap()
}

fn known(cache: &Cache, key: &Arc<Key>, answer: Answer, now: Instant) -> Arc<Binding> {
    match fill(cache, key, answer, now) {
        Cached::Known(row) => row,
        Cached::Absent(_) => unreachable!(),
    }
}

/// The records of so many users.
fn numbered(cache: &Cache, count: usize, now: Instant) -> Vec<Arc<Binding>> {
    let users = (0..count).map(|user| user.to_string());
    users
        .map(|user| known(cache, &key(&user), row(&user, "1"), now))
        .collect()
}

/// What the core is told, which must be the same however often it asks.
fn told(cache: &Cache, near: &Near, key: &Key, now: Instant) -> Option<String> {
    let ask = || match cache.get_near(near, KeyRef::of(key), now)? {
        Cached::Known(row) => Some(row.account().unwrap().to_string()),
        Cached::Absent(_) => Some("absent".into()),
    };
    let first = ask();
    for _ in 0..OFTEN {
        assert_eq!(ask(), first);
    }
    first
}

/// Whether the core finds the record by itself.
fn has(cache: &Cache, near: &Near, key: &Key, now: Instant) -> bool {
    (0..OFTEN).any(|_| cache.get_by_itself(near, KeyRef::of(key), now).is_some())
}

#[test]
fn what_a_core_keeps_ends_with_an_invalidation() {
    let (bob, now) = (key("bob@example.com"), Instant::now());
    for what in what_concerns_bob() {
        let cache = cache();
        let near = cache.near();
        fill(&cache, &bob, row("7", "1"), now);
        assert_eq!(told(&cache, &near, &bob, now).unwrap(), "1");
        assert!(has(&cache, &near, &bob, now));
        cache.invalidate(&what);
        assert_eq!(told(&cache, &near, &bob, now), None, "{what:?}");
    }
}

/// The index that an invalidation goes by knows an evicted row no longer.
#[test]
fn what_was_evicted_is_given_to_nobody_after_an_invalidation() {
    let (bob, now) = (key("bob@example.com"), Instant::now());
    for what in what_concerns_bob() {
        let cache = cache();
        let near = cache.near();
        let held = fill(&cache, &bob, row("7", "1"), now);
        assert_eq!(told(&cache, &near, &bob, now).unwrap(), "1");
        cache.evict(KeyRef::of(&bob));
        assert_eq!(cache.references()[0], 0);
        cache.invalidate(&what);
        assert_eq!(told(&cache, &near, &bob, now), None, "{what:?}");
        drop(held);
    }
}

#[test]
fn what_a_core_keeps_lives_as_long_as_configured() {
    let (cache, bob, now) = (cache(), key("7"), Instant::now());
    let near = cache.near();
    fill(&cache, &bob, row("7", "1"), now);
    assert_eq!(told(&cache, &near, &bob, now).unwrap(), "1");
    assert!(has(&cache, &near, &bob, now));
    assert_eq!(told(&cache, &near, &bob, now + TTL), None);
}

#[test]
fn every_core_hears_of_what_was_read_last() {
    let (cache, bob, now) = (cache(), key("7"), Instant::now());
    let cores = [cache.near(), cache.near()];
    let mut held = Vec::new();
    for (answer, expected) in [
        (row("7", "1"), "1"),
        (row("7", "2"), "2"),
        (Answer::Absent(Absence::User), "absent"),
        (row("7", "3"), "3"),
    ] {
        // As a request would that is still at work with it.
        held.push(fill(&cache, &bob, answer, now));
        for near in &cores {
            assert_eq!(told(&cache, near, &bob, now).unwrap(), expected);
        }
    }
}

#[test]
fn e14_a_hash_makes_nobody_another() {
    let (cache, now) = (cache(), Instant::now());
    let near = cache.near();
    let (alice, bob) = (key("5"), key("7"));
    let alices = known(&cache, &alice, row("5", "1"), now);
    // As if both had one hash.
    cache.keep_near(&near, KeyRef::of(&bob), &alices);
    assert!(!has(&cache, &near, &bob, now));
    assert_eq!(told(&cache, &near, &bob, now), None);
    fill(&cache, &bob, row("7", "2"), now);
    assert_eq!(told(&cache, &near, &bob, now).unwrap(), "2");
}

#[test]
fn what_is_of_another_cache_is_nothing() {
    let (one, other, now) = (cache(), cache(), Instant::now());
    let (near, bob) = (one.near(), key("7"));
    fill(&other, &bob, row("7", "1"), now);
    assert_eq!(told(&other, &near, &bob, now).unwrap(), "1");
    assert!(!has(&other, &near, &bob, now) && !has(&one, &near, &bob, now));
}

#[test]
fn it_keeps_no_record_alive() {
    let (cache, bob, now) = (cache(), key("7"), Instant::now());
    let near = cache.near();
    let row = known(&cache, &bob, row("7", "1"), now);
    assert_eq!(told(&cache, &near, &bob, now).unwrap(), "1");
    let record = Arc::downgrade(&row);
    drop(row);
    drop(cache);
    assert!(record.upgrade().is_none());
}

/// How many of its places are so.
fn count(near: &Near, so: impl Fn(&Place) -> bool) -> usize {
    let table = near.table.borrow();
    let places = table.sets.iter().flat_map(|Set(places)| places);
    places.filter(|place| so(place)).count()
}

/// What a core has found once and nobody asks for again must not fill its memory with the dead.
#[test]
fn the_dead_are_forgotten_as_others_come() {
    let (now, of) = (Instant::now(), Arc::new(()));
    let cache = of_capacity(3000);
    let near = Near::new(&of, 1000);
    let keep_all = |hashes: std::ops::Range<usize>, rows: &[Arc<Binding>]| {
        for (hash, row) in hashes.zip(rows) {
            near.keep(&of, hash as u64, row);
        }
    };
    let dead = || count(&near, Place::is_dead);
    keep_all(0..1000, &numbered(&cache, 1000, now));
    drop(cache);
    assert_eq!(dead(), 1000);
    let cache = of_capacity(3000);
    let rows = numbered(&cache, 3000, now);
    keep_all(1000..4000, &rows);
    assert_eq!(dead(), 0);
}

#[test]
fn what_is_kept_is_counted() {
    let (cache, now, of) = (of_capacity(3000), Instant::now(), Arc::new(()));
    let near = Near::new(&of, 1000);
    let mut rows = numbered(&cache, 1000, now);
    drop(cache);
    let dice = Near::new(&of, 0);
    let throw = |sides: usize| usize::try_from(dice.throw()).unwrap() % sides;
    while !rows.is_empty() {
        let row = throw(rows.len());
        if throw(4) == 0 {
            rows.swap_remove(row);
        } else {
            near.keep(&of, throw(5000) as u64, &rows[row]);
        }
        let there = count(&near, |place| place.row.is_some());
        assert_eq!(near.table.borrow().kept, there);
    }
}

#[test]
fn it_grows_with_its_users_and_no_further_than_the_cache() {
    let now = Instant::now();
    let cache = of_capacity(3000);
    let (rows, of) = (numbered(&cache, 3000, now), Arc::new(()));
    // Evenly, as hashes are.
    let hash = |user: usize| {
        (user as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(32)
    };
    let near = Near::new(&of, 1000);
    for (user, row) in rows.iter().enumerate() {
        near.keep(&of, hash(user), row);
        near.keep(&of, hash(user), row);
        let places = near.table.borrow().sets.len() * WAYS;
        assert!(places <= (4 * (user + 1)).max(WAYS * SETS.0), "{places}");
    }
    assert_eq!(near.table.borrow().sets.len(), 512);
    let found = |user: usize| (0..OFTEN).any(|_| near.find(&of, hash(user)).is_some());
    let kept = (0..3000).filter(|user| found(*user)).count();
    assert_eq!(kept, near.table.borrow().kept);
    assert!(kept > 1500, "{kept}");
    assert!(found(2999), "the last one is there");
    assert_eq!(Near::new(&of, u64::MAX).most, SETS.1);
    assert_eq!(Near::new(&of, 0).most, SETS.0);
}

/// Half as many users as there are places find nearly all of them.
#[test]
fn few_are_forgotten_while_there_is_room() {
    let (cache, now) = (cache(), Instant::now());
    let near = cache.near();
    let held: Vec<_> = (0..CAPACITY)
        .map(|user| {
            let key = key(&user.to_string());
            (fill(&cache, &key, row(&user.to_string(), "1"), now), key)
        })
        .collect();
    for (_, key) in &held {
        assert_eq!(told(&cache, &near, key, now).unwrap(), "1");
    }
    let found = held.iter().filter(|(_, key)| has(&cache, &near, key, now));
    assert!(found.count() > 90);
}

/// In whatever order users come, the cache hears of each of them.
#[test]
fn the_cache_hears_of_everybody() {
    let (cache, now) = (cache(), Instant::now());
    let bob = key("7");
    let row = known(&cache, &bob, row("7", "1"), now);
    let of = Arc::new(());
    for users in [1, 2, 32, 64, 2584] {
        let near = Near::new(&of, CAPACITY);
        near.keep(&of, 7, &row);
        let mut heard = vec![0_u32; users];
        for turn in 0..users * 3200 {
            // What it does not find by itself, it asks the cache for.
            heard[turn % users] += u32::from(near.find(&of, 7).is_none());
        }
        assert!(
            heard.iter().all(|count| (50..160).contains(count)),
            "{users}"
        );
    }
}

/// A user who is asked for all the time stays, however many others pass.
#[test]
fn what_is_used_much_is_not_evicted() {
    let (cache, bob, now) = (cache(), key("7"), Instant::now());
    let near = cache.near();
    fill(&cache, &bob, row("7", "1"), now);
    for user in 0..40 * CAPACITY {
        for _ in 0..OFTEN {
            assert!(
                cache.get_near(&near, KeyRef::of(&bob), now).is_some(),
                "after {user}"
            );
        }
        let name = format!("u{user}");
        fill(&cache, &key(&name), row(&name, "1"), now);
    }
}

/// Two ways to one user: what is read anew by one of them leaves the other what it has.
#[test]
fn a_record_gives_way_to_a_newer_one_of_its_own_key_alone() {
    let (cache, now) = (cache(), Instant::now());
    let near = cache.near();
    let (id, mail) = (key("7"), key("bob@example.com"));
    for key in [&mail, &id] {
        fill(&cache, key, row("7", "1"), now);
        assert_eq!(told(&cache, &near, key, now).unwrap(), "1");
    }
    fill(&cache, &id, row("7", "2"), now);
    assert!(has(&cache, &near, &mail, now) && !has(&cache, &near, &id, now));
    assert_eq!(told(&cache, &near, &id, now).unwrap(), "2");
    assert!(has(&cache, &near, &id, now));
    fill(&cache, &id, Answer::Absent(Absence::User), now);
    assert!(has(&cache, &near, &mail, now) && !has(&cache, &near, &id, now));
}

/// A set that is full forgets those first whose records are gone.
#[test]
fn the_dead_make_room_for_the_living() {
    let now = Instant::now();
    let (of, cache) = (Arc::new(()), cache());
    let near = Near::new(&of, CAPACITY);
    let mut rows = numbered(&cache, WAYS + 1, now);
    // All in one set.
    let hash = |user: usize| (user as u64 + 1) << 32;
    for (user, row) in rows.iter().enumerate().take(WAYS) {
        near.keep(&of, hash(user), row);
    }
    drop(cache);
    drop(rows.remove(2));
    near.keep(&of, hash(WAYS), &rows[WAYS - 1]);
    let found = |user: usize| (0..OFTEN).any(|_| near.find(&of, hash(user)).is_some());
    let found: Vec<bool> = (0..=WAYS).map(found).collect();
    assert_eq!(found, [true, true, false, true, true]);
}
