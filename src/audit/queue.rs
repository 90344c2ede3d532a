//! The queue: lines that wait for the writer, one behind the other in one buffer.
//!
//! Bounded in lines. A place is taken before a request is acted on, without waiting where there is
//! room, and is free again once its line has been written. Appending a line holds the lock for one
//! copy of its bytes; the writer exchanges the buffer for an empty one and holds it no longer.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

/// Lines that may wait for the writer, or be on their way to the disk.
const MOST: usize = 8192;

/// Largest buffer that is kept for the next lines, in bytes.
const KEPT: usize = 4 * 1024 * 1024;

/// Every place is taken.
#[derive(Debug)]
pub(super) struct Full;

/// What the cores and the writer share.
#[derive(Debug)]
pub(super) struct Queue {
    places: Semaphore,
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    lines: usize,
    /// Whether the writer sleeps until there is a line.
    idle: bool,
    closed: bool,
}

impl Queue {
    /// Waits for lines and moves all there are into `text`, whose contents are forgotten; `None`
    /// when there are none and will be none.
    pub(super) fn take(&self, text: &mut Vec<u8>) -> Option<usize> {
        text.clear();
        text.shrink_to(KEPT);
        let mut waiting = self.lock();
        while waiting.lines == 0 {
            if waiting.closed {
                return None;
            }
            waiting.idle = true;
            waiting = self
                .more
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.text, text);
        Some(std::mem::take(&mut waiting.lines))
    }

    /// So many lines have been written, or given up.
    pub(super) fn written(&self, lines: usize) {
        self.places.add_permits(lines);
    }

    /// Whether no more lines will come than there are.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Text and count are changed together, after all that could panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cores' end: when it is gone, no more lines will come. Places borrow it.
#[derive(Debug)]
pub(super) struct Sender(Arc<Queue>);

impl Sender {
    /// An empty queue, from both ends.
    pub(super) fn new() -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue {
            places: Semaphore::new(MOST),
            waiting: Mutex::default(),
            more: Condvar::new(),
        });
        (Self(Arc::clone(&queue)), queue)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.more.notify_one();
    }
}

/// A place for one line. Dropped unfilled, it is free again.
#[derive(Debug)]
pub(super) struct Place<'a> {
    queue: &'a Queue,
    filled: bool,
}

impl<'a> Place<'a> {
    /// A place, if there is one now.
    pub(super) fn of(sender: &'a Sender) -> Result<Self, Full> {
        let permit = sender.0.places.try_acquire().map_err(|_| Full)?;
        permit.forget();
        Ok(Self::taken(sender))
    }

    /// Waits for a place.
    pub(super) async fn wait_for(sender: &'a Sender) -> Self {
        // The semaphore is never closed; if it were, one line too many would be no harm.
        if let Ok(permit) = sender.0.places.acquire().await {
            permit.forget();
        }
        Self::taken(sender)
    }

    fn taken(sender: &'a Sender) -> Self {
        Self {
            queue: &sender.0,
            filled: false,
        }
    }

    /// Appends the line that `write` makes.
    pub(super) fn fill(mut self, write: impl FnOnce(&mut Vec<u8>)) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            write(line);
            let queue = self.queue;
            let mut waiting = queue.lock();
            waiting.text.extend_from_slice(line);
            waiting.lines += 1;
            self.filled = true;
            let idle = std::mem::take(&mut waiting.idle);
            drop(waiting);
            if idle {
                queue.more.notify_one();
            }
        });
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.filled {
            self.queue.places.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(queue: &Sender, line: &str) {
        let place = Place::of(queue).unwrap();
        place.fill(|text| text.extend_from_slice(line.as_bytes()));
    }

    #[test]
    fn lines_come_out_in_order_and_the_end_is_told() {
        let (sender, queue) = Sender::new();
        put(&sender, "a\n");
        put(&sender, "b\n");
        let open = Place::of(&sender).unwrap();
        let mut text = b"old".to_vec();
        assert_eq!(queue.take(&mut text), Some(2));
        assert_eq!(text, b"a\nb\n");
        assert!(!queue.is_closed());
        open.fill(|text| text.extend_from_slice(b"c\n"));
        drop(sender);
        assert_eq!(queue.take(&mut text), Some(1));
        assert_eq!(text, b"c\n");
        assert!(queue.is_closed());
        assert_eq!(queue.take(&mut text), None);
    }

    #[tokio::test]
    async fn a_place_is_free_again_once_its_line_is_written_or_given_up() {
        let (sender, queue) = Sender::new();
        let mut places: Vec<_> = (0..MOST).map(|_| Place::of(&sender).unwrap()).collect();
        assert!(Place::of(&sender).is_err());
        drop(places.pop());
        let again = Place::of(&sender).unwrap();
        assert!(Place::of(&sender).is_err());
        again.fill(|text| text.extend_from_slice(b"x\n"));
        assert!(Place::of(&sender).is_err(), "it waits to be written");
        let mut text = Vec::new();
        let lines = queue.take(&mut text).unwrap();
        queue.written(lines);
        Place::wait_for(&sender).await.fill(|text| text.push(b'\n'));
    }
}
