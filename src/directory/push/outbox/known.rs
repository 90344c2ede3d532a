//! Known: which rows of an outbox need not be looked for any more.
//!
//! Ids are given out when a row is written and become visible when its transaction ends, so a row
//! can turn up below others that have been read long before. What was read, and what is known never
//! to come, are ranges of ids; between them are holes, which are looked into again and again until
//! the database says that nothing that is still going on can fill them ([`Marks`], or a lock that
//! is not held).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Between the moment at which an id is given out and the one from which on the database knows who
/// has it lie microseconds; a hole is left open this long at least.
const UNKNOWN_HOLDER: Duration = Duration::from_secs(2);
/// Most marks; beyond, every second one goes, which only settles later.
const MARKS: usize = 512;

/// The ids that are done with.
#[derive(Debug)]
pub(super) struct Known {
    /// First and last of each range; the ranges neither overlap nor touch, and one begins at 0.
    ranges: BTreeMap<u64, u64>,
}

impl Known {
    pub(super) fn new(ids: impl IntoIterator<Item = u64>) -> Self {
        let mut known = Self {
            ranges: BTreeMap::from([(0, 0)]),
        };
        for id in ids {
            known.add(id, id);
        }
        known
    }

    /// The highest id that is known.
    pub(super) fn last(&self) -> u64 {
        self.ranges.values().next_back().copied().unwrap_or(0)
    }

    pub(super) fn has(&self, id: u64) -> bool {
        let range = self.ranges.range(..=id).next_back();
        range.is_some_and(|(_, last)| *last >= id)
    }

    /// Adds every id from `first` to `last`.
    pub(super) fn add(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last.max(first));
        // Every range that overlaps or touches becomes one with it.
        while let Some((&from, &to)) = self.ranges.range(..=last.saturating_add(1)).next_back() {
            if to.saturating_add(1) < first {
                break;
            }
            self.ranges.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.ranges.insert(first, last);
    }

    /// What lies between, as at most so many ranges: where there are more holes, neighbours are
    /// taken together with the known ids between them.
    pub(super) fn holes(&self, most: usize) -> Vec<(u64, u64)> {
        let ends = self.ranges.values();
        let starts = self.ranges.keys().skip(1);
        let holes: Vec<(u64, u64)> = ends
            .zip(starts)
            .map(|(end, start)| (end.saturating_add(1), start.saturating_sub(1)))
            .collect();
        let together = holes.len().div_ceil(most.max(1)).max(1);
        let groups = holes.chunks(together);
        groups
            .filter_map(|group| Some((group.first()?.0, group.last()?.1)))
            .collect()
    }
}

/// What was known at which moments, so that it can be said later that nothing below is under way.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: VecDeque<Mark>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    /// When it was found out who had begun.
    looked: Instant,
    /// When the ids up to `last` had been read.
    read: Instant,
    /// The highest id that was known.
    last: u64,
    /// Every transaction that had begun to write then has a number below this.
    begun: u64,
}

impl Marks {
    pub(super) fn clear(&mut self) {
        self.marks.clear();
    }

    /// `begun` was found out at `looked` or later, and `last` read at `read` or before.
    pub(super) fn add(&mut self, (looked, read): (Instant, Instant), last: u64, begun: u64) {
        self.marks.push_back(Mark {
            looked,
            read,
            last,
            begun,
        });
        if self.marks.len() > MARKS {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// The id up to which no hole can be filled any more, when every transaction with a number
    /// below `ended` has ended and the holes were looked into after that.
    pub(super) fn settled(&mut self, ended: u64) -> Option<u64> {
        // Whoever holds an id in a hole that was there at one mark has its number at the next that
        // is late enough.
        let late = self.marks.iter().rev().find(|mark| mark.begun <= ended)?;
        let late = late.looked;
        let early = |mark: &Mark| late.saturating_duration_since(mark.read) >= UNKNOWN_HOLDER;
        let place = self.marks.iter().rposition(early)?;
        let last = self.marks.get(place)?.last;
        self.marks.drain(..place);
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_row_below_is_a_hole_until_it_is_there() {
        let mut known = Known::new([3, 4, 7]);
        assert_eq!(known.last(), 7);
        assert_eq!(known.holes(9), [(1, 2), (5, 6)]);
        assert_eq!(known.holes(1), [(1, 6)]);
        known.add(5, 5);
        assert!(known.has(5) && !known.has(6) && known.has(0));
        known.add(1, 6);
        assert_eq!(known.holes(9), []);
        assert_eq!(known.last(), 7);
        known.add(u64::MAX, u64::MAX);
        assert_eq!(known.holes(9), [(8, u64::MAX - 1)]);
    }

    proptest! {
        #[test]
        fn holes_are_just_what_is_not_known(added in proptest::collection::vec((1..60_u64, 0..5_u64), 0..40), most in 1..6_usize) {
            let mut known = Known::new([]);
            let mut model = BTreeSet::from([0]);
            for (first, more) in added {
                known.add(first, first + more);
                model.extend(first..=first + more);
            }
            let last = model.last().copied().unwrap_or(0);
            prop_assert_eq!(known.last(), last);
            let inside = |holes: &[(u64, u64)], id: u64| holes.iter().any(|(a, b)| (*a..=*b).contains(&id));
            let (exact, few) = (known.holes(usize::MAX), known.holes(most));
            prop_assert!(few.len() <= most);
            for id in 0..80 {
                prop_assert_eq!(known.has(id), model.contains(&id));
                let missing = id < last && !model.contains(&id);
                prop_assert_eq!(inside(&exact, id), missing);
                prop_assert!(!missing || inside(&few, id));
                prop_assert!(id <= last || !inside(&few, id));
            }
        }
    }

    #[test]
    fn nothing_is_settled_while_somebody_who_could_fill_it_is_at_work() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        // Transaction 40 holds an id below 7; it is the oldest that has not ended.
        marks.add((at(0), at(0)), 7, 45);
        assert_eq!(marks.settled(40), None);
        marks.add((at(1), at(1)), 9, 50);
        marks.add((at(3), at(3)), 9, 60);
        assert_eq!(marks.settled(40), None);
        // It ended, but what began before the late mark goes on.
        assert_eq!(marks.settled(55), None);
        // Everything that had begun at 3 s has ended: holes that were there at 1 s stay empty.
        assert_eq!(marks.settled(60), Some(9));
        assert_eq!(marks.settled(60), Some(9));
    }

    #[test]
    fn an_id_without_a_number_yet_is_given_time() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        marks.add((start, start), 7, 45);
        // A slow reading: who had begun was found out long before its end.
        marks.add((at(1), at(9)), 7, 45);
        assert_eq!(marks.settled(100), None);
        marks.add((at(2), at(9)), 8, 100);
        assert_eq!(marks.settled(99), None);
        assert_eq!(marks.settled(100), Some(7));
    }

    #[test]
    fn marks_are_bounded() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        for n in 0..100_000 {
            let at = start + Duration::from_millis(n);
            marks.add((at, at), n, n);
        }
        assert!(marks.marks.len() <= MARKS);
        assert!(marks.settled(100_000).is_some_and(|last| last < 100_000));
    }
}
