//! Leases: a stream that registers before it looks up hears of every change that its look-up missed.

use super::super::cache::Cached;
use super::records::{key, live, said};
use super::*;

/// The last state.
const LAST: u64 = 3;

#[test]
fn e12_no_schedule_loses_a_change_between_the_look_up_and_the_wait() {
    schedules(async || {
        let truth = Truth::new();
        let streams = (0..2).map(|_| {
            let truth = Arc::clone(&truth);
            spawn(async move {
                let key = key("bob@example.com");
                let mut lease = truth.desk.leases.register(&tenant());
                loop {
                    // A change that is not heard of leaves the stream in its wait for good, which
                    // shuttle reports.
                    match live(&truth, &key).await {
                        Cached::Absent(_) => {}
                        Cached::Known(row) => {
                            lease.narrow(&row, [], []);
                            if row.account().unwrap().as_str() == LAST.to_string() {
                                return;
                            }
                        }
                    }
                    lease.changed().await;
                }
            })
        });
        let mut tasks: Vec<_> = streams.collect();
        for _ in 0..LAST {
            tasks.push(change(&truth, said(one_of(4))));
        }
        all(tasks).await;
    });
}
