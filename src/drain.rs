//! Drain: how the process stops without cutting anybody off.
//!
//! First it says that it is not ready, so that nothing new is sent to it; then it stops accepting
//! and asks every connection and stream to end; then it waits for them, up to a deadline. Whatever
//! must be waited for holds a [`Blocker`]: connections, and upgraded streams too, which hyper's own
//! graceful shutdown does not count.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// How far the shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Still serving, but not ready for new traffic.
    NotReady,
    /// No longer accepting; everything open is asked to end.
    Closing,
    /// Everything has ended, or its time is over.
    Closed,
}

/// What is handed to everything that must know of the shutdown.
#[derive(Debug, Clone)]
pub struct Drain {
    phase: watch::Receiver<Phase>,
    /// Whether the shutdown has begun: what can be asked with every request, by all cores at once.
    begun: Arc<AtomicBool>,
    blocker: mpsc::WeakSender<()>,
}

/// What the end of the process waits for; dropped when its work is done.
#[derive(Debug)]
#[must_use = "the process does not wait for work whose blocker is dropped"]
pub struct Blocker {
    _held: Option<mpsc::Sender<()>>,
}

/// The one who shuts down.
#[derive(Debug)]
pub struct Drainer {
    phase: watch::Sender<Phase>,
    begun: Arc<AtomicBool>,
    blocker: Option<mpsc::Sender<()>>,
    blockers: mpsc::Receiver<()>,
}

impl Drainer {
    /// A process that serves.
    #[must_use]
    pub fn new() -> (Self, Drain) {
        let (phase, watch) = watch::channel(Phase::Serving);
        let (blocker, blockers) = mpsc::channel(1);
        let begun = Arc::<AtomicBool>::default();
        let drain = Drain {
            phase: watch,
            begun: Arc::clone(&begun),
            blocker: blocker.downgrade(),
        };
        (
            Self {
                phase,
                begun,
                blocker: Some(blocker),
                blockers,
            },
            drain,
        )
    }

    /// Says that nothing new should be sent here.
    pub fn not_ready(&self) {
        self.enter(Phase::NotReady);
    }

    /// Stops accepting and waits for every blocker, at most `timeout`. `false` when some were left.
    pub async fn close(mut self, timeout: Duration) -> bool {
        self.enter(Phase::Closing);
        drop(self.blocker.take());
        let ended = tokio::time::timeout(timeout, self.blockers.recv())
            .await
            .is_ok();
        self.enter(Phase::Closed);
        ended
    }

    fn enter(&self, phase: Phase) {
        self.begun.store(true, Ordering::Release);
        self.phase.send_replace(phase);
    }
}

impl Drain {
    /// How far the shutdown has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Resolves when everything open should end; at once when that is already so.
    pub async fn closing(&self) {
        let mut phase = self.phase.clone();
        // The sender lives until the process ends; its loss means the same as closing.
        let _ = phase.wait_for(|phase| *phase >= Phase::Closing).await;
    }

    /// Runs `work` to its end, or until everything open should end (`None`). Made for what is polled
    /// often: the shutdown is waited for once, and then only its phase is looked at. Must stay on one
    /// task from the first poll on.
    pub async fn or_closing<F: Future>(&self, mut work: Pin<&mut F>) -> Option<F::Output> {
        // A wait that began must have begun: not put off because the task has used up its turn.
        let mut closing = pin!(tokio::task::unconstrained(self.closing()));
        let mut is_waiting = false;
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            // Once the shutdown has begun it is asked each time: that it has can be seen before the
            // waiters are woken, and what they were woken for has to be waited for anew.
            if std::mem::replace(&mut is_waiting, true) && !self.begun.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            closing.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Resolves when nothing is waited for any more.
    pub async fn closed(&self) {
        let mut phase = self.phase.clone();
        let _ = phase.wait_for(|phase| *phase == Phase::Closed).await;
    }

    /// Makes the end of the process wait for what holds the blocker.
    pub fn blocker(&self) -> Blocker {
        Blocker {
            _held: self.blocker.upgrade(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_goes_on_until_it_ends_or_everything_does() {
        let (drainer, drain) = Drainer::new();
        let done = drain.or_closing(pin!(async { 5 })).await;
        assert_eq!(done, Some(5));

        let (polled, mut polls) = mpsc::channel(8);
        let waiter = tokio::spawn({
            let drain = drain.clone();
            async move {
                // Woken often before, and by nobody but the shutdown at the end.
                let mut rounds = 0;
                let work = poll_fn(move |cx| {
                    let _ = polled.try_send(());
                    rounds += 1;
                    if rounds < 3 {
                        cx.waker().wake_by_ref();
                    }
                    Poll::<()>::Pending
                });
                drain.or_closing(pin!(work)).await
            }
        });
        for _ in 0..3 {
            polls.recv().await.unwrap();
        }
        drainer.not_ready();
        assert!(!waiter.is_finished());
        let closed = tokio::spawn(drainer.close(Duration::from_secs(30)));
        assert_eq!(waiter.await.unwrap(), None);
        assert!(closed.await.unwrap());
        assert_eq!(
            drain.or_closing(pin!(std::future::pending::<()>())).await,
            None
        );
    }

    /// What is polled just when the shutdown begins sees its phase before it is woken for it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_shutdown_is_not_missed_by_what_is_polled_meanwhile() {
        for _ in 0..200 {
            let (drainer, drain) = Drainer::new();
            let waiter = tokio::spawn(async move {
                let seen = drain.clone();
                let busy = poll_fn(move |cx| {
                    if seen.phase() == Phase::Serving {
                        cx.waker().wake_by_ref();
                    }
                    Poll::<()>::Pending
                });
                drain.or_closing(pin!(busy)).await
            });
            tokio::time::sleep(Duration::from_micros(200)).await;
            drainer.not_ready();
            tokio::time::sleep(Duration::from_micros(200)).await;
            drainer.close(Duration::from_secs(30)).await;
            let ended = tokio::time::timeout(Duration::from_secs(10), waiter).await;
            assert_eq!(ended.expect("it hears of the shutdown").unwrap(), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_what_is_open_and_no_longer_than_its_deadline() {
        let (drainer, drain) = Drainer::new();
        let blocker = drain.blocker();
        let waiter = tokio::spawn({
            let drain = drain.clone();
            async move {
                drain.closing().await;
                drop(blocker);
            }
        });
        assert!(drainer.close(Duration::from_secs(30)).await);
        waiter.await.unwrap();

        let (drainer, drain) = Drainer::new();
        let _held = drain.blocker();
        assert!(!drainer.close(Duration::from_secs(30)).await);
        assert_eq!(drain.phase(), Phase::Closed);
    }
}
