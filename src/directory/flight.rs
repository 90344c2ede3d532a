//! Flights: one question at a time per key.
//!
//! Whoever misses first founds a flight and starts its look-up; whoever comes while it is under way
//! waits for the same answer. The look-up is a task of its own, so a caller who goes away takes
//! nothing with him, and it lends its own deadline to nobody: every caller has his own. Only a
//! look-up that still stands in the queue when the last of its callers has gone is given up: a flood
//! of requests that are taken back at once must not queue before those who stay.
//!
//! A flight's failure is told to the one who founded it. The others may found or join one more, once
//! (see [`Flights::ask`]): they would otherwise inherit a deadline that began before they came. Since
//! there is one flight per key at a time and one second try per caller, an outage costs at most
//! twice the look-ups it would cost without followers, and never two at once for one key.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::{Failure, SourceError};
use super::sync::{Mutex, MutexGuard};

pub(super) type Outcome<A> = Result<A, Failure>;
type Waiters<A> = Vec<oneshot::Sender<Outcome<A>>>;

/// The flights under way.
#[derive(Debug)]
pub(super) struct Flights<K, A> {
    under_way: Mutex<HashMap<K, Waiters<A>, ahash::RandomState>>,
}

/// A flight's founder's duty to land it. Dropped without landing, it fails the flight, so that
/// nobody waits for a task that is gone.
#[derive(Debug)]
pub(super) struct Seat<K: Hash + Eq, A> {
    flights: Arc<Flights<K, A>>,
    key: Option<K>,
}

enum Joined<K: Hash + Eq, A> {
    Known(A),
    Founder(Seat<K, A>, oneshot::Receiver<Outcome<A>>),
    Follower(oneshot::Receiver<Outcome<A>>),
}

impl<K: Hash + Eq + Clone, A: Clone> Flights<K, A> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            under_way: Mutex::default(),
        })
    }

    /// Waits for the answer at most `patience`. `known` looks into the cache once more, since the
    /// answer may have landed meanwhile; `start` starts the look-up of a new flight; `fallback` is
    /// asked after a failure, before anything else is tried.
    pub(super) async fn ask(
        self: &Arc<Self>,
        key: &K,
        patience: Duration,
        known: impl Fn() -> Option<A>,
        start: impl Fn(Seat<K, A>),
        fallback: impl Fn() -> Option<A>,
    ) -> Outcome<A> {
        let deadline = Instant::now() + patience;
        let mut tried = false;
        loop {
            let (founded, receiver) = match self.join(key, &known) {
                Joined::Known(answer) => return Ok(answer),
                Joined::Founder(seat, receiver) => {
                    start(seat);
                    (true, receiver)
                }
                Joined::Follower(receiver) => (false, receiver),
            };
            let (failure, in_time) = match wait(receiver, deadline).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => (failure, true),
                Err(late) => (late.into(), false),
            };
            if let Some(answer) = fallback() {
                return Ok(answer);
            }
            let again = !founded && !tried && in_time && failure != Failure::Overloaded;
            if !again {
                return Err(failure);
            }
            tried = true;
        }
    }

    fn join(self: &Arc<Self>, key: &K, known: impl Fn() -> Option<A>) -> Joined<K, A> {
        let mut under_way = self.lock();
        let (sender, receiver) = oneshot::channel();
        if let Some(waiters) = under_way.get_mut(key) {
            // Those who went away leave their place to the next.
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(sender);
            return Joined::Follower(receiver);
        }
        if let Some(answer) = known() {
            return Joined::Known(answer);
        }
        under_way.insert(key.clone(), vec![sender]);
        let seat = Seat {
            flights: Arc::clone(self),
            key: Some(key.clone()),
        };
        Joined::Founder(seat, receiver)
    }
}

impl<K: Hash + Eq, A> Flights<K, A> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Waiters<A>, ahash::RandomState>> {
        // Each change under the lock is one call; a panic of a callback leaves the map whole.
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, A> Seat<K, A> {
    /// Ready once everybody who waited for this flight has gone; nobody can join it any more.
    async fn deserted(&mut self) {
        poll_fn(|cx| {
            let Some(key) = self.key.take() else {
                return Poll::Ready(());
            };
            let mut under_way = self.flights.lock();
            let Some(waiters) = under_way.get_mut(&key) else {
                return Poll::Ready(());
            };
            // One waker is enough: while one of them waits, the flight is wanted.
            while let Some(last) = waiters.last_mut() {
                if last.poll_closed(cx).is_pending() {
                    drop(under_way);
                    self.key = Some(key);
                    return Poll::Pending;
                }
                waiters.pop();
            }
            under_way.remove(&key);
            Poll::Ready(())
        })
        .await;
    }
}

impl<K: Hash + Eq, A: Clone> Seat<K, A> {
    /// Lands the flight with what `settle` gives, unless that is `None`: then it stays under way.
    /// Nobody can join between `settle` and the landing, so whoever is told the answer asked for it
    /// before it was settled.
    pub(super) fn land(mut self, settle: impl FnOnce() -> Option<Outcome<A>>) -> Option<Self> {
        let key = self.key.take()?;
        let mut under_way = self.flights.lock();
        let Some(outcome) = settle() else {
            drop(under_way);
            self.key = Some(key);
            return Some(self);
        };
        let waiters = under_way.remove(&key);
        drop(under_way);
        for waiter in waiters.into_iter().flatten() {
            // One who went away needs no answer.
            let _ = waiter.send(outcome.clone());
        }
        None
    }
}

impl<K: Hash + Eq, A> Drop for Seat<K, A> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let waiters = self.flights.lock().remove(&key);
            drop(waiters);
        }
    }
}

async fn wait<A>(
    receiver: oneshot::Receiver<Outcome<A>>,
    deadline: Instant,
) -> Result<Outcome<A>, SourceError> {
    match tokio::time::timeout_at(deadline, receiver).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_)) => Ok(Err(SourceError::new("the look-up was abandoned").into())),
        Err(_) => Err(SourceError::new("no answer within the time limit")),
    }
}

/// Runs one flight's look-up to its end: `enter` waits for a place at the source, the how-manieth
/// time it is told; `attempt` asks the source; `settle` turns the outcome into what the waiters are
/// told, or `None` when the answer was outdated on arrival and the source has to be asked again.
/// `limit` bounds all of it. Whose waiters have all gone before it has a place never asks.
pub(super) async fn fly<K, A, P, R, E, F>(
    mut seat: Seat<K, A>,
    limit: Duration,
    enter: impl Fn(u32) -> E,
    attempt: impl Fn(P) -> F,
    settle: impl Fn(Outcome<R>) -> Option<Outcome<A>>,
) where
    K: Hash + Eq,
    A: Clone,
    E: Future<Output = Outcome<P>>,
    F: Future<Output = Outcome<R>>,
{
    let deadline = Instant::now() + limit;
    for number in 0.. {
        let ask = async {
            let place = tokio::select! {
                biased;
                () = seat.deserted() => return None,
                place = enter(number) => place,
            };
            Some(match place {
                Ok(place) => attempt(place).await,
                Err(failure) => Err(failure),
            })
        };
        let outcome = match tokio::time::timeout_at(deadline, ask).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return,
            Err(_) => {
                Err(SourceError::new("the source did not answer within the time limit").into())
            }
        };
        match seat.land(|| settle(outcome)) {
            None => return,
            Some(still) => seat = still,
        }
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
