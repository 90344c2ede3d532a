//! The line: the thread that keeps a channel listened to.
//!
//! Every connection lives in a runtime of its own, which is dropped with it. So nothing of a
//! connection that has died without telling (a half-open socket, a server that was stopped) stays
//! behind, whatever its library still wanted to do with it, and no request ever waits behind it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Channel;
use super::inbox::{Gone, Inbox};
use crate::directory::service::Directory;

/// Pause after the first failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A connection that held this long makes the next pause the first again.
const HELD: Duration = Duration::from_secs(10);

pub(super) fn start(channel: Arc<Channel>, directory: Weak<Directory>) {
    let name = channel.name();
    let thread = std::thread::Builder::new()
        .name(format!("push-{}", name.split('_').next().unwrap_or(name)))
        .spawn({
            let (channel, directory) = (Arc::clone(&channel), Weak::clone(&directory));
            move || keep(&Inbox::new(Arc::clone(&channel), directory), &channel)
        });
    if let Err(error) = thread {
        let inbox = Inbox::new(channel, directory);
        // The status says so; records live their short life.
        let _ = inbox.down(format!("no thread: {error}"));
    }
}

/// Connects again and again, until the directory is gone.
fn keep(inbox: &Inbox, channel: &Channel) {
    let spread = ahash::RandomState::new();
    let mut pause = FIRST_PAUSE;
    for attempt in 0_u64.. {
        let began = std::time::Instant::now();
        let problem = match one_connection(inbox, channel) {
            Ok(()) => return,
            Err(problem) => problem,
        };
        if let Err(Gone) = inbox.down(problem) {
            return;
        }
        if began.elapsed() >= HELD {
            pause = FIRST_PAUSE;
        }
        // Replicas that lost one server together do not come back to it together.
        let part = u32::try_from(spread.hash_one(attempt) % 512).unwrap_or(0);
        std::thread::sleep(pause * (512 + part) / 1024);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn one_connection(inbox: &Inbox, channel: &Channel) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = channel.listen(inbox) => outcome,
            () = inbox.clear_for_garbage() => Ok(()),
        }
    });
    // Does not wait for a name look-up that hangs.
    runtime.shutdown_background();
    outcome
}
