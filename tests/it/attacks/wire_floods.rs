//! C21: floods over HTTP/2 cost their sender. While each one runs another client is served, and
//! afterwards memory is bounded and nothing is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, frame, get, headers, string,
};
use super::support::Attack;
use super::wire_bodies::H2C;
use crate::harness::{Builder, Client, Exchange, Gate, Recorder, Request, Scene, Token, until};

/// Most memory that a flood may cost, over what the gateway used before.
const MEMORY: u64 = 64 << 20;

/// Runs `flood` over connections of its own for two seconds at most, again and again, while another
/// client is served.
fn survives(name: &str, flood: impl Fn(&mut Frames, &str) -> bool + Send + Sync + 'static) {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    survives_on(&attack, name, flood);
}

fn survives_on(
    attack: &Attack,
    name: &str,
    flood: impl Fn(&mut Frames, &str) -> bool + Send + Sync + 'static,
) {
    let fair = Token::user("7").account("14").signed();
    let fair = Request::get("/fair").bearer(&fair);
    attack.gateway().send(&fair).expect_status(200);
    let before = attack.gateway().peak_memory();
    let over = Arc::new(AtomicBool::new(false));
    let (address, bearer) = (
        attack.gateway().address(),
        format!("Bearer {}", attack.token),
    );
    let flooder = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let deadline = Instant::now() + Duration::from_secs(2);
            let (mut connections, mut turns) = (0_u32, 0_u64);
            while Instant::now() < deadline {
                let mut frames = Frames::open(address, &[]);
                connections += 1;
                // Reads what comes, so that nothing is held back by full buffers alone.
                let mut reader = frames.socket.try_clone().expect("a second handle");
                let reading =
                    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
                while Instant::now() < deadline && flood(&mut frames, &bearer) {
                    turns += 1;
                }
                let _ = frames.socket.shutdown(std::net::Shutdown::Both);
                let _ = reading.join();
            }
            over.store(true, Ordering::SeqCst);
            (connections, turns)
        }
    });
    let (mut served, mut slowest) = (0, Duration::ZERO);
    let mut client = Client::connect(address);
    while !over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        client.exchange(&fair).expect_status(200);
        slowest = slowest.max(begun.elapsed());
        served += 1;
    }
    let (connections, turns) = flooder.join().expect("no panic");
    drop(client);
    let grown = attack.gateway().peak_memory().saturating_sub(before);
    println!(
        "{name}: {turns} turns over {connections} connections; {served} fair requests served \
         meanwhile, slowest {slowest:?}; {} KiB more at the peak",
        grown >> 10
    );
    assert!(served > 0);
    assert!(grown < MEMORY, "{grown}");
    attack.calm();
}

/// A counter for stream ids that starts anew with each connection.
fn ids() -> impl Fn(&Frames) -> u32 + Send + Sync {
    let state = std::sync::Mutex::new((0_u16, 0_u32));
    move |frames: &Frames| {
        let port = frames.socket.local_addr().expect("an address").port();
        let mut state = state.lock().expect("not poisoned");
        if state.0 != port {
            *state = (port, 0);
        }
        state.1 += 1;
        2 * state.1 - 1
    }
}

#[test]
fn c21_rapid_reset() {
    let next = ids();
    survives("rapid reset", move |frames, bearer| {
        let mut bytes = Vec::new();
        for _ in 0..50 {
            let stream = next(frames);
            bytes.extend(headers(stream, &get("/reset", bearer), true));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        frames.try_send(&bytes)
    });
}

/// The server is made to reset (CVE-2025-8671): windows that overflow, data behind the end,
/// increments of zero, a priority on itself.
#[test]
fn c21_made_you_reset() {
    let next = ids();
    survives("made you reset", move |frames, bearer| {
        let mut bytes = Vec::new();
        for turn in 0..50 {
            let stream = next(frames);
            bytes.extend(headers(stream, &get("/made", bearer), true));
            bytes.extend(match turn % 4 {
                0 => frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()),
                1 => frame(DATA, 0, stream, b"x"),
                2 => frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes()),
                _ => {
                    let mut payload = stream.to_be_bytes().to_vec();
                    payload.push(1);
                    frame(PRIORITY, 0, stream, &payload)
                }
            });
        }
        frames.try_send(&bytes)
    });
}

#[test]
fn c21_continuation_flood() {
    let begun = std::sync::Mutex::new(0_u16);
    survives("continuation flood", move |frames, bearer| {
        let port = frames.socket.local_addr().expect("an address").port();
        let mut bytes = Vec::new();
        let mut begun = begun.lock().expect("not poisoned");
        if *begun != port {
            *begun = port;
            bytes.extend(frame(HEADERS, END_STREAM, 1, &block(&get("/c", bearer))));
        }
        let fields = block(&[("x-a", &"x".repeat(1000))]);
        for _ in 0..100 {
            bytes.extend(frame(CONTINUATION, 0, 1, &fields));
        }
        frames.try_send(&bytes)
    });
}

#[test]
fn c21_empty_continuation_flood() {
    let begun = std::sync::Mutex::new(0_u16);
    survives("empty continuation flood", move |frames, bearer| {
        let port = frames.socket.local_addr().expect("an address").port();
        let mut bytes = Vec::new();
        let mut begun = begun.lock().expect("not poisoned");
        if *begun != port {
            *begun = port;
            bytes.extend(frame(HEADERS, END_STREAM, 1, &block(&get("/c", bearer))));
        }
        bytes.extend(frame(CONTINUATION, 0, 1, &[]).repeat(1000));
        frames.try_send(&bytes)
    });
}

#[test]
fn c21_empty_data_flood() {
    let begun = std::sync::Mutex::new(0_u16);
    survives("empty data flood", move |frames, bearer| {
        let port = frames.socket.local_addr().expect("an address").port();
        let mut bytes = Vec::new();
        let mut begun = begun.lock().expect("not poisoned");
        if *begun != port {
            *begun = port;
            let mut fields = get("/d", bearer);
            fields[0].1 = "POST";
            bytes.extend(headers(1, &fields, false));
        }
        bytes.extend(frame(DATA, 0, 1, &[]).repeat(1000));
        frames.try_send(&bytes)
    });
}

#[test]
fn c21_settings_and_ping_flood() {
    survives("settings and ping flood", |frames, _| {
        let mut bytes = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]).repeat(200);
        bytes.extend(frame(PING, 0, 0, &[0; 8]).repeat(200));
        frames.try_send(&bytes)
    });
}

/// Answers are owed for every frame, and the client takes none.
#[test]
fn c21_settings_and_ping_flood_that_is_not_read() {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    attack
        .gateway()
        .send(&attack.request("GET", "/warm"))
        .expect_status(200);
    let before = attack.gateway().peak_memory();
    let mut frames = Frames::open(attack.gateway().address(), &[]);
    let wait = Some(Duration::from_millis(500));
    frames.socket.set_write_timeout(wait).expect("a timeout");
    let mut bytes = frame(SETTINGS, 0, 0, &[]).repeat(500);
    bytes.extend(frame(PING, 0, 0, &[0; 8]).repeat(500));
    let mut sent = 0_u64;
    while sent < 256 << 20 && frames.try_send(&bytes) {
        sent += bytes.len() as u64;
    }
    let grown = attack.gateway().peak_memory().saturating_sub(before);
    println!(
        "unread answers: {sent} bytes sent, {} KiB more",
        grown >> 10
    );
    assert!(grown < MEMORY, "{grown}");
    drop(frames);
    attack.calm();
}

#[test]
fn c21_priority_and_window_storm() {
    survives("priority and window storm", |frames, _| {
        let mut bytes = Vec::new();
        for stream in 0..500_u32 {
            bytes.extend(frame(PRIORITY, 0, 2 * stream + 1, &[0, 0, 0, 0, 1]));
            bytes.extend(frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()));
        }
        frames.try_send(&bytes)
    });
}

/// One entry of 4 KB in the table, named again and again (RFC 7541, section 6.1).
#[test]
fn c21_hpack_bomb() {
    let next = ids();
    survives("hpack bomb", move |frames, bearer| {
        let stream = next(frames);
        let mut fields = block(&get("/bomb", bearer));
        fields.push(0x40);
        string(&mut fields, b"x-bomb");
        string(&mut fields, "x".repeat(3_900).as_bytes());
        // 62 is the newest entry of the dynamic table.
        fields.extend(std::iter::repeat_n(0xbe, 16_000 - fields.len().min(15_000)));
        let (first, more) = fields.split_at(fields.len().min(16_000));
        let mut bytes = frame(HEADERS, END_STREAM, stream, first);
        bytes.extend(frame(CONTINUATION, END_HEADERS, stream, more));
        frames.try_send(&bytes)
    });
}

/// More streams than may be open at once, none of which ever ends.
#[test]
fn c21_thousands_of_open_streams() {
    let next = ids();
    survives("open streams", move |frames, bearer| {
        let mut fields = get("/open", bearer);
        fields[0].1 = "POST";
        let mut bytes = Vec::new();
        for _ in 0..100 {
            bytes.extend(headers(next(frames), &fields, false));
        }
        frames.try_send(&bytes)
    });
}

/// A directory over HTTP that answers 7 at once and holds everybody else until the gate opens.
fn holding(gate: &Gate) -> Recorder {
    let gate = gate.clone();
    Recorder::answering(move |exchange: &mut Exchange<'_>| {
        let user = exchange.last_segment();
        if user.starts_with("flood") {
            gate.pass();
        }
        let account = if user == "7" { "14" } else { "12" };
        exchange
            .respond_json(&serde_json::json!({ "user": user, "account": account, "active": true }));
    })
}

/// Streams of distinct users, each reset at once: no look-up is left queued for one that nobody
/// waits for, and whoever asks next does not stand behind them.
#[test]
fn c21_no_look_up_is_left_queued_for_a_reset_stream() {
    const USERS: u32 = 400;
    let gate = Gate::default();
    let directory = holding(&gate);
    let upstream = Recorder::start();
    let url = directory.url();
    let attack = Attack::on(Scene {
        gateway: Builder::new()
            .upstream(&upstream)
            .set("listeners", H2C)
            .set(
                "directory",
                &format!(
                    "source: {{ http: {{ url: \"{url}/{{tenant}}/{{user}}\" }} }}
limits: {{ timeout: 15s, concurrent: 4, queue: 100 }}
cache: {{ ttl: 60s, ttl_without_push: 60s }}"
                ),
            )
            .start(),
        upstream,
    });
    let fair = Request::get("/fair").bearer(&Token::user("7").account("14").signed());
    attack.gateway().send(&fair).expect_status(200);
    let asked_before = directory.count();
    for wave in 0..USERS / 40 {
        // A connection may have only so many resets pending.
        let mut frames = Frames::open(attack.gateway().address(), &[]);
        for number in 0..40 {
            let user = format!("flood-{wave}-{number}");
            let bearer = format!(
                "Bearer {}",
                Token::user(user.as_str()).account("12").signed()
            );
            let stream = 2 * number + 1;
            frames.send(&headers(stream, &get("/flood", &bearer), true));
        }
        until("they are being looked up", || {
            attack.metric("countersign_requests_in_flight") >= 1.0
        });
        // A cached user is served as ever.
        attack.gateway().send(&fair).expect_status(200);
        drop(frames);
        until("nobody waits any more", || {
            attack.metric("countersign_requests_in_flight") == 0.0
        });
    }
    // At most as many as may run at once have gone to the source; the others never will.
    let asked = directory.count() - asked_before;
    println!("{USERS} users of reset streams: {asked} look-ups begun");
    assert!(asked <= 4, "{asked}");
    gate.open();
    // Somebody who is not cached stands behind nobody that has gone.
    let begun = Instant::now();
    attack
        .gateway()
        .send(&attack.request("GET", "/new"))
        .expect_status(200);
    assert!(begun.elapsed() < Duration::from_secs(10));
    until("the look-ups have ended", || {
        directory.count() > asked_before
    });
    std::thread::sleep(Duration::from_millis(200));
    let late = directory.count() - asked_before;
    assert!(late <= 6, "{late} look-ups for nobody");
    attack.calm();
}
