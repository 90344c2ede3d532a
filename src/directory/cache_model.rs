//! The cache against a model: whatever the order of fills, failures, hits, invalidations of every
//! width, expiry, eviction and a ring that overflows, an answer that is given out was asked for after
//! every acknowledged invalidation that covers it, and is within its life.
//!
//! The model is a source with versions: every change gives a row a new version and is followed by
//! an invalidation. A fill reads the version that the source has when it starts and arrives later.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ids::{AccountId, TenantId, UserId};

const USERS: usize = 4;
/// More than the ring holds.
const FLOOD: usize = 1100;
const TENANTS: usize = 2;
const LIFE: Duration = Duration::from_secs(10);
const PUSHED_LIFE: Duration = Duration::from_secs(25);

#[derive(Debug, Clone)]
enum Step {
    /// A look-up by id, or by the user's other name, asks the source.
    Start { user: usize, by_name: bool },
    /// The oldest, or another, look-up under way arrives.
    Arrive(usize),
    /// A look-up under way fails: nothing is stored.
    Fail(usize),
    /// The user moves to an account (0 is: is deleted), and this is pushed at some width.
    Move { user: usize, account: u8, width: u8 },
    /// More is pushed about others than the ring holds.
    Flood,
    /// A session ends, which is no record's affair.
    LogOut { user: usize },
    /// Push comes or goes, and with it the long life.
    Push(bool),
    /// Time passes.
    Wait(u64),
    /// Everything that moka wants to evict goes.
    Evict,
    /// A request reads on one of the cores.
    Read {
        user: usize,
        by_name: bool,
        core: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let user = 0..USERS * TENANTS;
    prop_oneof![
        4 => (user.clone(), any::<bool>()).prop_map(|(user, by_name)| Step::Start { user, by_name }),
        4 => (0..8_usize).prop_map(Step::Arrive),
        1 => (0..8_usize).prop_map(Step::Fail),
        3 => (user.clone(), 0..4_u8, 0..5_u8)
            .prop_map(|(user, account, width)| Step::Move { user, account, width }),
        1 => Just(Step::Flood),
        1 => user.clone().prop_map(|user| Step::LogOut { user }),
        1 => any::<bool>().prop_map(Step::Push),
        1 => (1..12_u64).prop_map(Step::Wait),
        1 => Just(Step::Evict),
        4 => (user, any::<bool>(), any::<bool>())
            .prop_map(|(user, by_name, core)| Step::Read { user, by_name, core }),
    ]
}

/// What the source says about each user: an account, and when that began.
struct Model {
    accounts: [(u8, u64); USERS * TENANTS],
    version: u64,
    /// How much was pushed.
    pushed: u64,
    push_up: bool,
}

struct UnderWay {
    key: Arc<Key>,
    user: usize,
    ticket: Ticket,
    account: u8,
    version: u64,
    /// How much was pushed before it started.
    pushed: u64,
}

fn tenant_of(user: usize) -> TenantId {
    TenantId::parse(if user < USERS { "a" } else { "b" }).unwrap()
}

fn id_of(user: usize) -> UserId {
    UserId::parse(&(user % USERS).to_string()).unwrap()
}

fn key_of(user: usize, by_name: bool) -> Arc<Key> {
    let subject = if by_name {
        UserId::parse(&format!("user{}@example.com", user % USERS)).unwrap()
    } else {
        id_of(user)
    };
    Arc::new(Key {
        tenant: tenant_of(user),
        lookup: if by_name { "mail" } else { "default" }.into(),
        subject,
    })
}

fn answer(user: usize, account: u8, version: u64) -> Answer {
    if account == 0 {
        return Answer::Absent(Absence::User);
    }
    let row = json!({
        "id": user % USERS, "account": account, "active": true, "version": version.to_string(),
    });
    let Value::Object(row) = row else {
        unreachable!()
    };
    Answer::Row(Box::new(Record::read(row).unwrap()))
}

fn pushed(user: usize, old: u8, new: u8, width: u8) -> Vec<Invalidation> {
    let tenant = tenant_of(user);
    match width {
        0 => vec![Invalidation::All],
        1 => vec![Invalidation::Tenant(tenant)],
        // Both accounts have changed: one lost a member, the other has one more.
        2 if old != 0 || new != 0 => [old, new]
            .into_iter()
            .filter(|account| *account != 0)
            .map(|account| Invalidation::Account {
                tenant: tenant.clone(),
                account: AccountId::parse(&account.to_string()).unwrap(),
            })
            .collect(),
        _ => vec![Invalidation::User {
            tenant,
            user: id_of(user),
        }],
    }
}

fn flood(cache: &Cache) {
    for user in 0..FLOOD {
        cache.invalidate(&Invalidation::User {
            tenant: TenantId::parse("c").unwrap(),
            user: UserId::parse(&user.to_string()).unwrap(),
        });
    }
}

fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let cache = Cache::new(&config::DirectoryCache {
        capacity: 6,
        ttl: PUSHED_LIFE,
        ttl_without_push: LIFE,
        negative_ttl: LIFE,
        stale_if_error: LIFE,
    });
    let mut now = Instant::now();
    let mut model = Model {
        accounts: [(1, 0); USERS * TENANTS],
        version: 0,
        pushed: 0,
        push_up: false,
    };
    let mut under_way: Vec<UnderWay> = Vec::new();
    let cores = [cache.near(), cache.near()];
    // What requests that are not done yet hold on to.
    let mut held = Vec::new();
    for step in steps {
        match step {
            Step::Start { user, by_name } => {
                let ticket = cache.ticket(now);
                let (account, version) = model.accounts[user];
                under_way.push(UnderWay {
                    key: key_of(user, by_name),
                    user,
                    ticket,
                    account,
                    version,
                    pushed: model.pushed,
                });
            }
            Step::Arrive(which) => {
                if under_way.is_empty() {
                    continue;
                }
                let fill = under_way.remove(which % under_way.len());
                let row = answer(fill.user, fill.account, fill.version);
                let stored = cache.store(fill.ticket, &fill.key, row);
                held.extend(stored.clone());
                let stored = stored.is_some();
                let outdated = fill.version != model.accounts[fill.user].1;
                prop_assert!(!(stored && outdated), "an outdated row was stored");
                prop_assert!(
                    stored || fill.pushed < model.pushed,
                    "a row was refused for nothing"
                );
            }
            Step::Fail(which) => {
                if !under_way.is_empty() {
                    under_way.remove(which % under_way.len());
                }
            }
            Step::Flood => {
                flood(&cache);
                model.pushed += 1;
            }
            Step::LogOut { user } => cache.invalidate(&Invalidation::Session {
                tenant: tenant_of(user),
                key: "k".into(),
            }),
            Step::Push(up) => {
                cache.set_push_up(up);
                model.push_up = up;
            }
            Step::Move {
                user,
                account,
                width,
            } => {
                model.version += 1;
                model.pushed += 1;
                let (old, _) = model.accounts[user];
                model.accounts[user] = (account, model.version);
                for what in pushed(user, old, account, width) {
                    cache.invalidate(&what);
                }
            }
            Step::Wait(secs) => now += Duration::from_secs(secs),
            Step::Evict => {
                cache.rows.run_pending_tasks();
                cache.missing.run_pending_tasks();
            }
            Step::Read {
                user,
                by_name,
                core,
            } => {
                let core = &cores[usize::from(core)];
                check_read((&cache, core), &model, now, user, by_name)?;
            }
        }
    }
    cache.rows.run_pending_tasks();
    cache.missing.run_pending_tasks();
    prop_assert!(cache.rows.entry_count() <= 6);
    let [of_rows, of_absences] = cache.references();
    prop_assert!(of_rows <= cache.entries() * 3);
    prop_assert_eq!(of_absences, cache.absences());
    Ok(())
}

/// What is given out is the source's present state, and within its life.
fn check_read(
    (cache, core): (&Cache, &Near),
    model: &Model,
    now: Instant,
    user: usize,
    by_name: bool,
) -> Result<(), TestCaseError> {
    let key = key_of(user, by_name);
    let key = KeyRef::of(&key);
    let (account, version) = model.accounts[user];
    let life = if model.push_up { PUSHED_LIFE } else { LIFE };
    let fresh = [
        cache.get_near(core, key, now),
        cache.get_near(core, key, now),
        cache.get(key, now),
    ];
    let fresh = fresh.into_iter().flatten().map(|found| (found, life));
    let stale = cache.stale(key, now).map(Cached::Known);
    let stale = stale.map(|found| (found, life + LIFE));
    for (found, life) in fresh.chain(stale) {
        match found {
            Cached::Absent(_) => prop_assert_eq!(account, 0),
            Cached::Known(row) => {
                prop_assert_eq!(row.tenant(), &tenant_of(user));
                prop_assert_eq!(row.user(), &id_of(user));
                let found = row.attributes().get("version").unwrap();
                prop_assert_eq!(found, &version.to_string());
                let age = now.saturating_duration_since(row.read_at());
                prop_assert!(age < life);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn e16_no_older_answer_after_an_invalidation(steps in prop::collection::vec(step(), 1..120)) {
        check(steps)?;
    }
}
