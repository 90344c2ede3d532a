//! Flights: one look-up at a time, nobody is left waiting, and nobody is told another's failure.

use std::sync::Mutex;

use futures_util::future::{Either, select};

use super::super::error::SourceError;
use super::super::flight::{Flights, Outcome, Seat, fly};
use super::*;

type Seats = Flights<u8, u64>;

/// What happens to look-ups, and what was seen of them.
#[derive(Default)]
struct Log {
    /// How many have been started, which is the number of the newest.
    started: Mutex<u64>,
    at_the_source: Mutex<u64>,
}

impl Log {
    fn start(&self) -> u64 {
        let mut started = self.started.lock().unwrap();
        *started += 1;
        *started
    }

    fn arrive(&self) {
        let mut inside = self.at_the_source.lock().unwrap();
        *inside += 1;
        assert_eq!(*inside, 1, "two look-ups for one key");
    }

    fn leave(&self) {
        *self.at_the_source.lock().unwrap() -= 1;
    }
}

/// One look-up: the first fails, the others answer with their number.
async fn look_up(number: u64, seat: Seat<u8, u64>, log: Arc<Log>) {
    let enter = async |_| {
        pause().await;
        Ok(())
    };
    let attempt = async |()| {
        log.arrive();
        pause().await;
        log.leave();
        match number {
            1 => Err(SourceError::new("down").into()),
            number => Ok(number),
        }
    };
    fly(seat, LONG, enter, attempt, Some).await;
}

/// Asks; gives the number of the look-up that this caller started last, and what it was told.
async fn ask(flights: Arc<Seats>, log: Arc<Log>, dies: bool) -> (Vec<u64>, Outcome<u64>) {
    let founded = Mutex::new(Vec::new());
    let start = |seat| {
        let number = log.start();
        founded.lock().unwrap().push(number);
        if number == 1 && dies {
            // As by a panic, or a runtime that ends.
            drop(seat);
            return;
        }
        spawn(look_up(number, seat, Arc::clone(&log)));
    };
    let outcome = flights.ask(&1, LONG, || None, start, || None).await;
    (founded.into_inner().unwrap(), outcome)
}

#[test]
fn e15_no_schedule_leaves_one_waiting_or_tells_one_anothers_failure() {
    schedules(async || {
        let flights = Flights::new();
        let log = Arc::new(Log::default());
        let dies = one_of(2) == 0;
        let callers = (0..5).map(|number| {
            let (flights, log) = (Arc::clone(&flights), Arc::clone(&log));
            spawn(async move {
                pause().await;
                let asking = Box::pin(ask(flights, log, dies));
                // The first two go away when they like, founders or not.
                if number < 2 {
                    return match select(asking, Box::pin(pause())).await {
                        Either::Left((told, _)) => Some(told),
                        Either::Right(_) => None,
                    };
                }
                Some(asking.await)
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            if let Some((founded, outcome)) = caller.await.unwrap() {
                assert_eq!(outcome.is_err(), founded == [1], "{founded:?}: {outcome:?}");
            }
        }
        // Whoever comes later starts afresh: nothing stays behind.
        let (founded, outcome) = ask(Arc::clone(&flights), Arc::clone(&log), false).await;
        assert!(outcome.is_ok() || founded == [1]);
        assert!(*log.started.lock().unwrap() <= 7);
    });
}
