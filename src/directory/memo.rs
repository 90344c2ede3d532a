//! Memos: remembered answers about tenants (whose host is this, does this tenant exist).
//!
//! Kept apart from records, since anybody can ask them by sending any Host: what exists and what
//! does not have a bounded space each, and neither can evict a record. An answer is about a whole
//! tenant, so only an invalidation of a tenant or of everything concerns it; which hosts that
//! touches is not known, so all memos are forgotten. An answer that was asked for before is not
//! stored: its number is at or below the floor.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use moka::Equivalent;

use super::spaces::Spaces;
use super::sync::AtomicU64;

/// Most answers of each kind.
const CAPACITY: u64 = 10_000;

/// A question: the query and what is put into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    query: Arc<str>,
    about: Box<str>,
}

/// The same, borrowed; its derived hash is the owned question's.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct QuestionRef<'a> {
    pub(super) query: &'a Arc<str>,
    pub(super) about: &'a str,
}

impl Question {
    pub(super) const fn query(&self) -> &Arc<str> {
        &self.query
    }

    pub(super) fn about(&self) -> &str {
        &self.about
    }
}

impl QuestionRef<'_> {
    pub(super) fn to_question(self) -> Question {
        Question {
            query: Arc::clone(self.query),
            about: self.about.into(),
        }
    }
}

impl Equivalent<Question> for QuestionRef<'_> {
    fn equivalent(&self, question: &Question) -> bool {
        *self.about == *question.about && **self.query == *question.query
    }
}

/// An answer about a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told<V> {
    Found(V),
    Missing,
}

impl<V> Told<V> {
    pub(super) fn map<U>(self, found: impl FnOnce(V) -> U) -> Told<U> {
        match self {
            Self::Found(value) => Told::Found(found(value)),
            Self::Missing => Told::Missing,
        }
    }

    pub(super) fn found(self) -> Option<V> {
        match self {
            Self::Found(value) => Some(value),
            Self::Missing => None,
        }
    }
}

pub(super) struct Memo<K, V> {
    spaces: Spaces<K, Told<V>>,
    /// Counts what forgets everything; an answer stands while its number is the present one.
    number: AtomicU64,
}

impl<K, V> fmt::Debug for Memo<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").finish_non_exhaustive()
    }
}

impl<K, V> Memo<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(life: Duration, negative_life: Duration) -> Self {
        Self {
            spaces: Spaces::new((CAPACITY, CAPACITY), life, negative_life),
            number: AtomicU64::new(0),
        }
    }

    /// The remembered answer, unless it is past its life.
    pub(super) fn get<Q>(&self, key: &Q, now: Instant) -> Option<Told<V>>
    where
        Q: Equivalent<K> + Hash,
    {
        self.spaces
            .get(key, now, |number, _| number == self.number())
    }

    /// Taken before the source is asked.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Remembers an answer. `false` when everything was forgotten since it was asked for: then the
    /// answer may be outdated and has to be asked for again. An entry that a forgetting overtakes
    /// here is harmless, for its number says so on every hit.
    pub(super) fn store(&self, key: K, answer: Told<V>, number: u64, asked_at: Instant) -> bool {
        if number != self.number() {
            return false;
        }
        let exists = matches!(answer, Told::Found(_));
        self.spaces.put(key, answer, exists, (number, asked_at));
        true
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        self.number.fetch_add(1, Ordering::AcqRel);
        self.spaces.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(10);

    #[test]
    fn borrowed_and_owned_questions_are_one() {
        let memo: Memo<Question, u8> = Memo::new(LIFE, LIFE);
        let now = Instant::now();
        let query = Arc::from("SELECT");
        let asked = |about| QuestionRef {
            query: &query,
            about,
        };
        let owned = asked("a").to_question();
        memo.store(owned, Told::Found(1), memo.number(), now);
        assert_eq!(memo.get(&asked("a"), now), Some(Told::Found(1)));
        assert_eq!(memo.get(&asked("b"), now), None);
    }

    #[test]
    fn an_answer_lives_as_long_as_configured() {
        let memo: Memo<&str, u8> = Memo::new(LIFE, LIFE / 2);
        let start = Instant::now();
        assert!(memo.store("a", Told::Found(1), memo.number(), start));
        assert!(memo.store("b", Told::Missing, memo.number(), start));
        assert_eq!(memo.get(&"a", start), Some(Told::Found(1)));
        assert_eq!(memo.get(&"b", start), Some(Told::Missing));
        assert_eq!(memo.get(&"b", start + LIFE / 2), None);
        assert_eq!(memo.get(&"a", start + LIFE / 2), Some(Told::Found(1)));
        assert_eq!(memo.get(&"a", start + LIFE), None);
    }

    #[test]
    fn e16_an_answer_from_before_a_forgetting_is_not_stored() {
        let memo: Memo<&str, u8> = Memo::new(LIFE, LIFE);
        let now = Instant::now();
        let before = memo.number();
        memo.forget();
        assert!(!memo.store("a", Told::Found(1), before, now));
        assert_eq!(memo.get(&"a", now), None);
        assert!(memo.store("a", Told::Found(2), memo.number(), now));
        assert_eq!(memo.get(&"a", now), Some(Told::Found(2)));
        memo.forget();
        assert_eq!(memo.get(&"a", now), None);
    }

    #[test]
    fn e13_a_host_that_appears_replaces_its_absence() {
        let memo: Memo<&str, u8> = Memo::new(LIFE, LIFE);
        let now = Instant::now();
        memo.store("a", Told::Missing, memo.number(), now);
        memo.store("a", Told::Found(1), memo.number(), now);
        assert_eq!(memo.get(&"a", now), Some(Told::Found(1)));
        memo.store("a", Told::Missing, memo.number(), now);
        assert_eq!(memo.get(&"a", now), Some(Told::Missing));
    }
}
