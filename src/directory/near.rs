//! Near: a core's short way to the records that it has used lately.
//!
//! The cache is one for all cores and finds a record through half a dozen places of a large heap, none
//! of which is in a processor's cache when users are many. A core keeps the addresses of what it was
//! given by the hash of the key, in sets that are one line of the processor's cache each: a set that is
//! full forgets one for what comes.
//!
//! Nothing is taken from here on trust. That it is the record of this very key, that no invalidation and
//! no newer record has come, and that it is within its life is asked of the record itself on every hit
//! ([`super::cache::Cache::get_near`]); so an address may stand here long after its record is gone. It
//! does not keep a record alive.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Arc, Weak};

use super::binding::Binding;

/// Addresses in one set, which fill the 64 bytes of a line.
const WAYS: usize = 4;

/// Sets at first, and most: 1 MiB. An address that is a dead record's keeps its 256 bytes from other use
/// until it is forgotten, 16 MiB at most; with every address that is kept anew one place is looked at
/// for such.
const SETS: (usize, usize) = (64, 16 * 1024);

/// The cache hears of one use in so many, by which it knows what to evict.
const TOLD: u64 = 32;

/// One core's, of one cache.
pub struct Near {
    /// The cache whose records these are.
    of: Arc<()>,
    /// Whatever order users come in, it is chance of whom the cache hears.
    dice: Cell<u64>,
    table: RefCell<Table>,
    most: usize,
}

#[derive(Default)]
struct Table {
    /// None or a power of two.
    sets: Vec<Set>,
    /// How many addresses they hold.
    kept: usize,
    /// The place that is looked at next.
    hand: usize,
}

#[derive(Clone, Default)]
#[repr(align(64))]
struct Set([Place; WAYS]);

#[derive(Clone, Default)]
struct Place {
    hash: u64,
    row: Option<Weak<Binding>>,
}

impl Near {
    /// An empty one for the cache that is marked so and holds so many records.
    pub(super) fn new(of: &Arc<()>, capacity: u64) -> Self {
        // Half full at most.
        let most = usize::try_from(capacity).unwrap_or(usize::MAX) / (WAYS / 2);
        Self {
            of: Arc::clone(of),
            dice: Cell::new(1),
            table: RefCell::default(),
            most: most.min(SETS.1).next_power_of_two().max(SETS.0),
        }
    }

    /// What stands under this hash, if it is of the cache that is marked so and the cache need not hear of
    /// this use.
    pub(super) fn find(&self, of: &Arc<()>, hash: u64) -> Option<Arc<Binding>> {
        if self.throw() < u64::MAX / TOLD || !Arc::ptr_eq(of, &self.of) {
            return None;
        }
        let table = self.table.borrow();
        let Set(places) = table.sets.get(index(hash, table.sets.len()))?;
        let place = places.iter().find(|place| place.hash == hash)?;
        place.row.as_ref()?.upgrade()
    }

    /// Remembers what the cache that is marked so has under this hash.
    pub(super) fn keep(&self, of: &Arc<()>, hash: u64, row: &Arc<Binding>) {
        if !Arc::ptr_eq(of, &self.of) {
            return;
        }
        let mut table = self.table.borrow_mut();
        if table.kept >= table.sets.len() * WAYS / 2 && table.sets.len() < self.most {
            table.grow();
        }
        let index = index(hash, table.sets.len());
        let Some(Set(places)) = table.sets.get_mut(index) else {
            return;
        };
        let own = |place: &Place| place.row.is_some() && place.hash == hash;
        let place = places.iter().position(own);
        let place = place
            .or_else(|| places.iter().position(|place| place.row.is_none()))
            .or_else(|| places.iter().position(Place::is_dead));
        let any = usize::try_from(self.throw()).unwrap_or_default() % WAYS;
        let Some(place) = places.get_mut(place.unwrap_or(any)) else {
            return;
        };
        let before = place.row.as_ref().map(Weak::as_ptr);
        if before == Some(Arc::as_ptr(row)) && place.hash == hash {
            return;
        }
        place.hash = hash;
        place.row = Some(Arc::downgrade(row));
        table.kept += usize::from(before.is_none());
        table.tidy();
    }

    /// xorshift64 (Marsaglia, 2003): nothing here has to be hard to guess.
    fn throw(&self) -> u64 {
        let mut dice = self.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.set(dice);
        dice
    }
}

impl Place {
    /// Whether the record is gone.
    fn is_dead(&self) -> bool {
        let row = self.row.as_ref();
        row.is_some_and(|row| row.strong_count() == 0)
    }
}

impl Table {
    /// Forgets what one place holds if that is dead; each place has its turn.
    fn tidy(&mut self) {
        self.hand = (self.hand + 1) & (self.sets.len() * WAYS).wrapping_sub(1);
        let Some(Set(places)) = self.sets.get_mut(self.hand / WAYS) else {
            return;
        };
        if let Some(place) = places.get_mut(self.hand % WAYS)
            && place.is_dead()
        {
            *place = Place::default();
            self.kept -= 1;
        }
    }

    /// Twice as many; each set becomes two.
    fn grow(&mut self) {
        let count = (self.sets.len() * 2).max(SETS.0);
        let before = std::mem::replace(&mut self.sets, vec![Set::default(); count]);
        for place in before.into_iter().flat_map(|Set(places)| places) {
            let Some(Set(places)) = self.sets.get_mut(index(place.hash, count)) else {
                continue;
            };
            if place.row.is_some()
                && let Some(free) = places.iter_mut().find(|place| place.row.is_none())
            {
                *free = place;
            }
        }
    }
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near").finish_non_exhaustive()
    }
}

/// The set of a hash among a power of two of them; the lower bits are as good as any.
fn index(hash: u64, sets: usize) -> usize {
    usize::try_from(hash & (sets as u64).wrapping_sub(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "near_tests.rs"]
mod tests;
