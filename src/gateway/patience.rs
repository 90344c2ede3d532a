//! Patience: requests whose answer takes long are looked at again, all of a core's by one timer.
//!
//! A timer for each would be set and taken back with every request, and hardly one is ever needed.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::time::{Instant, sleep};

use crate::upstream::LATE;

/// Between two looks at who has waited long enough, which is how late a wait can end: well before
/// whoever was promised another look stops counting on it.
const LOOK: Duration = Duration::from_millis(100);
const _: () = assert!(LOOK.as_millis() < LATE.as_millis());

/// One core's requests that wait. Must be used within its runtime.
#[derive(Debug, Default)]
pub(super) struct Patience {
    waiting: RefCell<Slab<Waiting>>,
    looking: Cell<bool>,
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    waker: Waker,
    over: bool,
}

/// Ends when its time has come.
#[derive(Debug)]
#[must_use = "nothing waits until it is polled"]
pub(super) struct Wait<'a> {
    patience: &'a Rc<Patience>,
    due: Instant,
    place: Option<usize>,
}

impl Patience {
    /// A wait until `due`, or a little longer.
    pub(super) const fn until(self: &Rc<Self>, due: Instant) -> Wait<'_> {
        Wait {
            patience: self,
            due,
            place: None,
        }
    }

    fn enter(self: &Rc<Self>, due: Instant, waker: Waker) -> usize {
        let place = self.waiting.borrow_mut().insert(Waiting {
            due,
            waker,
            over: false,
        });
        if !self.looking.replace(true) {
            tokio::task::spawn_local(Rc::clone(self).look());
        }
        place
    }

    /// Runs as long as anybody waits.
    async fn look(self: Rc<Self>) {
        loop {
            sleep(LOOK).await;
            let now = Instant::now();
            let mut all = self.waiting.borrow_mut();
            if all.is_empty() {
                all.shrink_to_fit();
                self.looking.set(false);
                return;
            }
            for (_, waiting) in all.iter_mut() {
                if waiting.due <= now && !waiting.over {
                    waiting.over = true;
                    waiting.waker.wake_by_ref();
                }
            }
        }
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(place) = self.place else {
            self.place = Some(self.patience.enter(self.due, cx.waker().clone()));
            return Poll::Pending;
        };
        let mut all = self.patience.waiting.borrow_mut();
        let Some(waiting) = all.get_mut(place) else {
            return Poll::Pending;
        };
        if waiting.over {
            return Poll::Ready(());
        }
        waiting.waker.clone_from(cx.waker());
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.patience.waiting.borrow_mut().try_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::LocalSet;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn every_wait_ends_in_its_time() {
        let run = async {
            let patience = Rc::<Patience>::default();
            let began = Instant::now();
            let ended = |after: Duration| {
                let patience = Rc::clone(&patience);
                tokio::task::spawn_local(async move {
                    patience.until(Instant::now() + after).await;
                    began.elapsed()
                })
            };
            let (short, long) = (ended(SECOND), ended(10 * SECOND));
            let (short, long) = (short.await.unwrap(), long.await.unwrap());
            assert!((SECOND..SECOND + 2 * LOOK).contains(&short), "{short:?}");
            assert!(
                (10 * SECOND..10 * SECOND + 2 * LOOK).contains(&long),
                "{long:?}"
            );
            // After a pause with nobody it looks again.
            sleep(SECOND).await;
            assert!(!patience.looking.get());
            let again = Instant::now();
            patience.until(again + SECOND).await;
            assert!((SECOND..SECOND + 2 * LOOK).contains(&again.elapsed()));
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_free_again_once_its_wait_is_given_up() {
        let run = async {
            let patience = Rc::<Patience>::default();
            for _ in 0..3 {
                let mut one = std::pin::pin!(patience.until(Instant::now() + SECOND));
                let mut two = std::pin::pin!(patience.until(Instant::now() + 3 * SECOND));
                tokio::select! {
                    biased;
                    () = &mut one => {}
                    () = &mut two => panic!("the later one ended first"),
                }
            }
            let waiting = patience.waiting.borrow();
            assert!(waiting.is_empty() && waiting.vacant_key() < 2);
        };
        LocalSet::new().run_until(run).await;
    }
}
