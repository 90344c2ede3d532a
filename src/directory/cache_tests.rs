//! Tests of the cache: what is stored, for how long, and what an invalidation takes away.

use super::super::testing::{self, account, key, row, tenant, user, what_concerns_bob};
use super::*;

const TTL: Duration = Duration::from_secs(10);
const PUSHED_TTL: Duration = Duration::from_secs(100);
const NEGATIVE_TTL: Duration = Duration::from_secs(4);
const STALE: Duration = Duration::from_secs(50);

impl Cache {
    /// How many references the indexes hold: of records, and of absences.
    pub(in super::super) fn references(&self) -> [u64; 2] {
        [self.rows_index.len(), self.missing_index.len()].map(|length| length as u64)
    }

    /// What the core finds by itself.
    pub(in super::super) fn get_by_itself(
        &self,
        near: &Near,
        key: KeyRef<'_>,
        now: Instant,
    ) -> Option<Arc<Binding>> {
        self.row_near(near, self.place(key), now)
    }

    /// Puts a row where the core looks for this key's.
    pub(in super::super) fn keep_near(&self, near: &Near, key: KeyRef<'_>, row: &Arc<Binding>) {
        near.keep(&self.mark, self.place(key).hash(), row);
    }

    /// The entry goes, as it would for want of room.
    pub(in super::super) fn evict(&self, key: KeyRef<'_>) {
        self.rows.invalidate(&self.place(key));
        self.run_pending_tasks();
    }

    /// Does what the space of the rows has put off.
    pub(in super::super) fn run_pending_tasks(&self) {
        self.rows.run_pending_tasks();
    }

    /// How many absences are held.
    pub(in super::super) fn absences(&self) -> u64 {
        self.missing.entry_count()
    }
}

fn cache() -> Cache {
    of_capacity(1000)
}

fn of_capacity(capacity: u64) -> Cache {
    Cache::new(&config::DirectoryCache {
        capacity,
        ttl: PUSHED_TTL,
        ttl_without_push: TTL,
        negative_ttl: NEGATIVE_TTL,
        stale_if_error: STALE,
    })
}

fn fill(cache: &Cache, key: &Arc<Key>, answer: Answer, now: Instant) {
    let ticket = cache.ticket(now);
    assert!(cache.store(ticket, key, answer).is_some());
}

fn account_in(cache: &Cache, key: &Key, now: Instant) -> Option<String> {
    match cache.get(KeyRef::of(key), now)? {
        Cached::Known(row) => Some(row.account().unwrap().to_string()),
        Cached::Absent(_) => Some("absent".into()),
    }
}

#[test]
fn e1_one_user_id_in_two_tenants_is_two_users() {
    let (cache, now) = (cache(), Instant::now());
    fill(&cache, &key("a", "7"), row("7", "1"), now);
    fill(&cache, &key("b", "7"), row("7", "2"), now);
    assert_eq!(account_in(&cache, &key("a", "7"), now).unwrap(), "1");
    assert_eq!(account_in(&cache, &key("b", "7"), now).unwrap(), "2");
    cache.invalidate(&user("a", "7"));
    assert_eq!(account_in(&cache, &key("a", "7"), now), None);
    assert_eq!(account_in(&cache, &key("b", "7"), now).unwrap(), "2");
}

#[test]
fn e4_a_record_never_outlives_the_configured_life() {
    let (cache, now) = (cache(), Instant::now());
    let key = key("a", "7");
    fill(&cache, &key, row("7", "1"), now);
    assert!(account_in(&cache, &key, now + TTL * 8 / 10).is_some());
    assert_eq!(account_in(&cache, &key, now + TTL), None);
    cache.set_push_up(true);
    assert!(account_in(&cache, &key, now + TTL).is_some());
    assert_eq!(account_in(&cache, &key, now + PUSHED_TTL), None);
    cache.set_push_up(false);
    assert_eq!(account_in(&cache, &key, now + TTL), None);
}

#[test]
fn e25_lives_are_spread() {
    let (cache, now) = (cache(), Instant::now());
    let keys: Vec<_> = (0..200).map(|n| key("a", &format!("u{n}"))).collect();
    for (n, key) in keys.iter().enumerate() {
        fill(&cache, key, row(&format!("u{n}"), "1"), now);
    }
    let alive = |at| {
        let alive = keys
            .iter()
            .filter(|key| account_in(&cache, key, at).is_some());
        alive.count()
    };
    assert_eq!(alive(now + TTL * 9 / 10), 200);
    let half_way = alive(now + TTL * 95 / 100);
    assert!((20..180).contains(&half_way), "{half_way}");
    assert_eq!(alive(now + TTL), 0);
}

#[test]
fn e13_absence_is_short_lived_and_gives_way_to_a_row() {
    let (cache, now) = (cache(), Instant::now());
    let key = key("a", "9");
    fill(&cache, &key, Answer::Absent(Absence::User), now);
    assert_eq!(account_in(&cache, &key, now).unwrap(), "absent");
    assert_eq!(account_in(&cache, &key, now + NEGATIVE_TTL), None);
    fill(&cache, &key, row("9", "1"), now);
    assert_eq!(account_in(&cache, &key, now).unwrap(), "1");
    fill(&cache, &key, Answer::Absent(Absence::User), now);
    assert_eq!(account_in(&cache, &key, now).unwrap(), "absent");
    assert!(cache.stale(KeyRef::of(&key), now).is_none());
}

#[test]
fn e13_a_user_that_is_created_is_found_on_push_however_it_is_looked_up() {
    let (cache, now) = (cache(), Instant::now());
    let by_mail = key("a", "new@example.com");
    let elsewhere = key("b", "new@example.com");
    fill(&cache, &by_mail, Answer::Absent(Absence::User), now);
    fill(&cache, &elsewhere, Answer::Absent(Absence::User), now);
    cache.invalidate(&user("a", "9"));
    assert_eq!(account_in(&cache, &by_mail, now), None);
    assert!(account_in(&cache, &elsewhere, now).is_some());
}

#[test]
fn e13_a_flood_of_unknown_users_evicts_no_known_one() {
    let (cache, now) = (cache(), Instant::now());
    let known = key("a", "7");
    fill(&cache, &known, row("7", "1"), now);
    for n in 0..3 * ABSENT_CAPACITY {
        let key = key("a", &format!("x{n}"));
        fill(&cache, &key, Answer::Absent(Absence::User), now);
    }
    assert!(account_in(&cache, &known, now).is_some());
    cache.missing.run_pending_tasks();
    assert!(cache.missing.entry_count() <= ABSENT_CAPACITY);
}

#[test]
fn a_look_up_by_another_key_is_invalidated_by_what_its_row_names() {
    let now = Instant::now();
    let mail = key("a", "bob@example.com");
    for what in what_concerns_bob() {
        let cache = cache();
        fill(&cache, &mail, row("7", "1"), now);
        cache.invalidate(&what);
        assert_eq!(account_in(&cache, &mail, now), None, "{what:?}");
        assert!(cache.stale(KeyRef::of(&mail), now).is_none(), "{what:?}");
    }
    for what in [
        user("a", "8"),
        account("a", "2"),
        user("b", "7"),
        tenant("b"),
    ] {
        let cache = cache();
        fill(&cache, &mail, row("7", "1"), now);
        cache.invalidate(&what);
        assert!(account_in(&cache, &mail, now).is_some(), "{what:?}");
    }
}

#[test]
fn e16_a_row_that_was_asked_for_before_an_invalidation_is_refused() {
    let now = Instant::now();
    let mail = key("a", "bob@example.com");
    for what in what_concerns_bob() {
        let cache = cache();
        let ticket = cache.ticket(now);
        cache.invalidate(&what);
        assert!(
            cache.store(ticket, &mail, row("7", "1")).is_none(),
            "{what:?}"
        );
        assert_eq!(account_in(&cache, &mail, now), None, "{what:?}");
        fill(&cache, &mail, row("7", "2"), now);
        assert_eq!(account_in(&cache, &mail, now).unwrap(), "2");
    }
    let cache = cache();
    let ticket = cache.ticket(now);
    cache.invalidate(&account("a", "2"));
    cache.invalidate(&user("b", "7"));
    assert!(cache.store(ticket, &mail, row("7", "1")).is_some());
}

#[test]
fn e22_stale_serves_only_within_its_bound() {
    let (cache, now) = (cache(), Instant::now());
    let key = key("a", "7");
    fill(&cache, &key, row("7", "1"), now);
    assert!(cache.stale(KeyRef::of(&key), now + TTL).is_some());
    assert!(cache.stale(KeyRef::of(&key), now + STALE).is_some());
    assert!(cache.stale(KeyRef::of(&key), now + TTL + STALE).is_none());
}

#[test]
fn the_index_holds_nothing_but_the_entries() {
    let (cache, now) = (cache(), Instant::now());
    for n in 0..5000 {
        let name = format!("u{}", n % 2500);
        fill(
            &cache,
            &key("a", &name),
            row(&name, &format!("acc{}", n % 3)),
            now,
        );
        fill(&cache, &key("b", &name), Answer::Absent(Absence::User), now);
        if n % 700 == 0 {
            cache.invalidate(&account("a", "acc1"));
        }
    }
    for _ in 0..100 {
        cache.rows.run_pending_tasks();
        cache.missing.run_pending_tasks();
    }
    assert!(cache.rows.entry_count() <= 1000);
    // Each row names its subject (which is its user), its account and one membership.
    assert_eq!(cache.references(), [cache.entries() * 3, cache.absences()]);
    cache.invalidate(&Invalidation::All);
    // One run does as much as its share of time allows.
    for _ in 0..100 {
        cache.rows.run_pending_tasks();
        cache.missing.run_pending_tasks();
    }
    assert_eq!(cache.references(), [0, 0]);
}

/// Fills, invalidations and reads on threads of their own. The source's version is raised, then the
/// invalidation is acknowledged: from then on no older version may be read.
#[test]
fn e16_no_interleaving_of_threads_gives_out_an_older_answer() {
    interleave(1000, 20_000);
}

/// The same where there is hardly room, so that entries go all the time.
#[test]
fn e16_no_interleaving_of_threads_gives_out_an_older_answer_that_was_evicted() {
    interleave(2, 5000);
}

fn interleave(capacity: u64, changes: u64) {
    let cache = of_capacity(capacity);
    let (key, now) = (key("a", "bob@example.com"), Instant::now());
    let (source, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
    let version_of = |cached: Cached| match cached {
        Cached::Known(row) => row.account().unwrap().as_str().parse::<u64>().unwrap(),
        Cached::Absent(_) => unreachable!(),
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let near = cache.near();
                // A request that is not done yet holds on to its record.
                let mut held = std::collections::VecDeque::new();
                while acknowledged.load(Ordering::SeqCst) < changes {
                    let ticket = cache.ticket(now);
                    let version = source.load(Ordering::SeqCst);
                    std::thread::yield_now();
                    cache.store(ticket, &key, row("7", &version.to_string()));
                    let oldest = acknowledged.load(Ordering::SeqCst);
                    if let Some(cached) = cache.get_near(&near, KeyRef::of(&key), now) {
                        assert!(version_of(cached.clone()) >= oldest);
                        held.push_back(cached);
                        if held.len() > 8 {
                            held.pop_front();
                        }
                    }
                }
            });
        }
        if capacity < 1000 {
            scope.spawn(|| {
                let mut number = 0;
                while acknowledged.load(Ordering::SeqCst) < changes {
                    number += 1;
                    let name = format!("u{}", number % 100);
                    let other = testing::key("a", &name);
                    cache.store(cache.ticket(now), &other, row(&name, "other"));
                }
            });
        }
        scope.spawn(|| {
            for version in 1..=changes {
                source.store(version, Ordering::SeqCst);
                let old = (version - 1).to_string();
                match version % 4 {
                    0 => cache.invalidate(&user("a", "7")),
                    1 => cache.invalidate(&tenant("a")),
                    2 => cache.invalidate(&Invalidation::All),
                    // The account that the user has left, and the one it has come to.
                    _ => {
                        cache.invalidate(&account("a", &old));
                        cache.invalidate(&account("a", "m"));
                    }
                }
                acknowledged.store(version, Ordering::SeqCst);
            }
        });
    });
}

/// Of the record that this answer has become.
fn edition(cache: &Cache, key: &Arc<Key>, answer: Answer, now: Instant) -> Edition {
    fill(cache, key, answer, now);
    match cache.get(KeyRef::of(key), now) {
        Some(Cached::Known(row)) => row.edition(),
        other => panic!("{other:?}"),
    }
}

/// What was signed from a record is sent again only while the very record stands.
#[test]
fn a_record_that_is_read_again_and_says_the_same_is_the_same_record() {
    let (cache, now) = (cache(), Instant::now());
    let key = key("a", "7");
    let read = |account: &str, at: Instant| edition(&cache, &key, row("7", account), at);
    let first = read("1", now);
    let again = read("1", now + TTL);
    assert_eq!(first, again);
    let moved = read("2", now + TTL);
    assert_ne!(first, moved);
    for what in [
        user("a", "7"),
        account("a", "2"),
        tenant("a"),
        Invalidation::All,
    ] {
        let before = read("2", now + TTL);
        cache.invalidate(&what);
        let after = read("2", now + TTL);
        assert_ne!(before, after, "after {what:?}");
    }
}

/// Not even two that say the same, of two users or in two directories.
#[test]
fn no_two_records_are_one() {
    let (one, other, now) = (cache(), cache(), Instant::now());
    let read = |cache, subject| edition(cache, &key("a", subject), row("7", "1"), now);
    let bob = read(&one, "7");
    assert_ne!(bob, read(&one, "bob@example.com"));
    assert_ne!(bob, read(&other, "7"));
}
