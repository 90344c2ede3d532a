//! Tests of flights: one look-up per key, and nobody inherits another's failure or deadline.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::join_all;

use super::*;

type Seats = RefCell<Vec<Seat<u8, &'static str>>>;

const LONG: Duration = Duration::from_mins(1);

async fn pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

fn failed() -> Failure {
    SourceError::new("down").into()
}

async fn ask(
    flights: &Arc<Flights<u8, &'static str>>,
    seats: &Seats,
    patience: Duration,
) -> Outcome<&'static str> {
    flights
        .ask(
            &1,
            patience,
            || None,
            |seat| seats.borrow_mut().push(seat),
            || None,
        )
        .await
}

fn land(seats: &Seats, outcome: Outcome<&'static str>) {
    let seat = seats.borrow_mut().remove(0);
    assert!(seat.land(|| Some(outcome)).is_none());
}

#[tokio::test]
async fn e25_one_look_up_serves_all_who_wait() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let mut all = Box::pin(join_all((0..100).map(|_| ask(&flights, &seats, LONG))));
    assert!(pending(&mut all).await);
    assert_eq!(seats.borrow().len(), 1);
    land(&seats, Ok("row"));
    assert!(all.await.iter().all(|answer| *answer == Ok("row")));
    assert!(flights.lock().is_empty());
}

#[tokio::test]
async fn e15_followers_of_a_failure_try_once_more_together() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let mut founder = Box::pin(ask(&flights, &seats, LONG));
    assert!(pending(&mut founder).await);
    let mut followers = Box::pin(join_all((0..10).map(|_| ask(&flights, &seats, LONG))));
    assert!(pending(&mut followers).await);
    land(&seats, Err(failed()));
    assert_eq!(founder.await, Err(failed()));
    assert!(pending(&mut followers).await);
    assert_eq!(seats.borrow().len(), 1);
    land(&seats, Ok("row"));
    assert!(followers.await.iter().all(|answer| *answer == Ok("row")));
}

#[tokio::test]
async fn e22_an_outage_costs_at_most_one_more_look_up() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let started = Cell::new(0);
    let mut all = Box::pin(join_all((0..10).map(|_| ask(&flights, &seats, LONG))));
    while pending(&mut all).await {
        started.set(started.get() + seats.borrow().len());
        land(&seats, Err(failed()));
    }
    assert_eq!(started.get(), 2);
}

#[tokio::test]
async fn e15_a_founder_who_goes_away_takes_nothing_with_him() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let mut follower = Box::pin(ask(&flights, &seats, LONG));
    {
        let mut founder = Box::pin(ask(&flights, &seats, LONG));
        assert!(pending(&mut founder).await);
        assert!(pending(&mut follower).await);
    }
    assert_eq!(seats.borrow().len(), 1);
    land(&seats, Ok("row"));
    assert_eq!(follower.await, Ok("row"));
}

#[tokio::test]
async fn a_task_that_dies_leaves_nobody_waiting() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let mut founder = Box::pin(ask(&flights, &seats, LONG));
    assert!(pending(&mut founder).await);
    seats.borrow_mut().clear();
    assert!(matches!(founder.await, Err(Failure::Source(_))));
    assert!(flights.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_waits_as_long_as_it_may_itself() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let mut patient = Box::pin(ask(&flights, &seats, LONG));
    assert!(pending(&mut patient).await);
    let hasty = ask(&flights, &seats, Duration::from_secs(1)).await;
    assert!(matches!(hasty, Err(Failure::Source(_))));
    assert!(pending(&mut patient).await);
    land(&seats, Ok("row"));
    assert_eq!(patient.await, Ok("row"));
}

#[tokio::test]
async fn a_full_queue_is_not_tried_again() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let mut both = Box::pin(join_all((0..2).map(|_| ask(&flights, &seats, LONG))));
    assert!(pending(&mut both).await);
    land(&seats, Err(Failure::Overloaded));
    assert!(
        both.await
            .iter()
            .all(|answer| *answer == Err(Failure::Overloaded))
    );
}

#[tokio::test]
async fn e16_an_outdated_answer_is_asked_for_again() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let mut asking = Box::pin(ask(&flights, &seats, LONG));
    assert!(pending(&mut asking).await);
    let seat = seats.borrow_mut().remove(0);
    let rows = RefCell::new(vec!["new", "old"]);
    fly(
        seat,
        LONG,
        async |_| Ok(()),
        async |()| rows.borrow_mut().pop().ok_or_else(failed),
        |row| match row {
            Ok("old") => None,
            row => Some(row),
        },
    )
    .await;
    assert_eq!(asking.await, Ok("new"));
}

#[tokio::test(start_paused = true)]
async fn e21_a_flight_that_is_never_settled_ends_at_its_limit() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let mut asking = Box::pin(ask(&flights, &seats, LONG * 2));
    assert!(pending(&mut asking).await);
    let seat = seats.borrow_mut().remove(0);
    fly(
        seat,
        LONG,
        async |_| Ok(()),
        async |()| {
            tokio::time::sleep(Duration::from_secs(7)).await;
            Ok("old")
        },
        |row: Outcome<&'static str>| match row {
            Ok(_) => None,
            Err(failure) => Some(Err(failure)),
        },
    )
    .await;
    assert!(matches!(asking.await, Err(Failure::Source(_))));
}

#[tokio::test]
async fn c21_a_flight_that_everybody_left_in_the_queue_never_leaves() {
    let (flights, seats) = (Flights::new(), Seats::default());
    let (queue, asked) = (tokio::sync::Semaphore::new(0), Cell::new(0));
    let look_up = |seat| {
        fly(
            seat,
            LONG,
            async |_| Ok(queue.acquire().await.unwrap()),
            async |_place| {
                asked.set(asked.get() + 1);
                Ok("row")
            },
            |row: Outcome<&'static str>| Some(row),
        )
    };
    let mut first = Box::pin(ask(&flights, &seats, LONG));
    let mut second = Box::pin(ask(&flights, &seats, LONG));
    assert!(pending(&mut first).await && pending(&mut second).await);
    let mut flight = Box::pin(look_up(seats.borrow_mut().remove(0)));
    assert!(pending(&mut flight).await);
    drop(first);
    assert!(pending(&mut flight).await, "one still waits");
    drop(second);
    flight.await;
    assert!(flights.lock().is_empty());
    // Whoever comes next founds his own, and one that left the old one takes nothing with it.
    let mut third = Box::pin(ask(&flights, &seats, LONG));
    assert!(pending(&mut third).await);
    let mut flight = Box::pin(look_up(seats.borrow_mut().remove(0)));
    assert!(pending(&mut flight).await);
    queue.add_permits(1);
    flight.await;
    assert_eq!((third.await, asked.get()), (Ok("row"), 1));
}
