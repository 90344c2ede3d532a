//! C23, F13: who says nothing, or takes nothing, is put out in time; who runs out of descriptors
//! recovers.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::frames::{
    CONTINUATION, DATA, END_STREAM, Frames, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, block,
    frame, get, headers, post,
};
use super::support::{Attack, metric};
use super::wire_bodies::H2C;
use crate::harness::{Authority, Builder, Exchange, Recorder, Request, Scene, Token, until};

const SOON: &str = "{ header_timeout: 400ms }";

#[test]
fn c23_an_http1_client_that_stops_is_put_out() {
    let attack = Attack::with(|builder| builder.set("limits", SOON));
    for sent in [
        "",
        "\r\n",
        "\r\n\r\n\r\n",
        "G",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: app.test\r\nX-A: ",
        "GET / HTTP/1.1\r\nHost: app.test\r\n\r",
    ] {
        let mut client = attack.client();
        client.send(sent.as_bytes());
        let text = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(!text.contains(" 200 "), "{sent:?}: {text}");
    }
    attack.upstream().assert_untouched();
    attack.calm();
}

/// A connection that says nothing at all is no mistake: browsers open some ahead.
#[test]
fn c23_a_head_that_does_not_end_is_counted_and_logged() {
    let attack = Attack::with(|builder| builder.set("limits", SOON));
    let counted = || attack.metric("countersign_protocol_errors_total");
    let mut silent = attack.client();
    assert!(silent.rest().is_empty());
    let mut served = attack.client();
    served.send(&Request::get("/").bearer(&attack.token).bytes());
    assert_eq!(served.response("GET").status(), 200);
    assert!((counted() - 0.0).abs() < f64::EPSILON);
    // The first head of a connection, and a later one.
    served.send(b"GET / HT");
    let mut first = attack.client();
    first.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n");
    for client in [&mut served, &mut first] {
        assert!(client.rest().is_empty());
    }
    until("both are counted", || counted() > 1.5);
    attack
        .scene
        .gateway
        .wait_for_log("did not finish its request's head");
    attack.calm();
}

/// An HTTP/2 connection that was opened ahead is no mistake either; one whose client breaks the
/// protocol is.
#[test]
fn c23_an_idle_http2_connection_is_no_error_and_a_broken_one_is() {
    let attack = Attack::with(|builder| builder.set("limits", SOON).set("listeners", H2C));
    let counted = || attack.metric("countersign_protocol_errors_total");
    let settings = frame(SETTINGS, 0, 0, &[]);
    let mut ahead = Frames::silent(attack.gateway().address());
    ahead.send(&[PREFACE, &settings].concat());
    assert!(ahead.ends_within(Duration::from_secs(10)));
    assert!((counted() - 0.0).abs() < f64::EPSILON);
    let mut broken = Frames::silent(attack.gateway().address());
    // A stream that only a server may open (RFC 9113, section 5.1.1).
    let fields = block(&get("/", &format!("Bearer {}", attack.token)));
    broken.send(&[PREFACE, &settings, &frame(HEADERS, 5, 2, &fields)].concat());
    assert!(broken.ends_within(Duration::from_secs(10)));
    until("it is counted", || counted() > 0.5);
    attack.calm();
}

/// A head that took several reads and was refused at once has ended all the same.
#[test]
fn c23_a_connection_is_kept_after_a_long_head_that_was_refused() {
    let attack =
        Attack::with(|builder| builder.set("limits", "{ header_timeout: 1s, header_size: 64KiB }"));
    let long = format!(
        "GET / HTTP/1.1\r\nHost: app.test\r\nX-Long: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let mut client = attack.client();
    for _ in 0..2 {
        client.send(long.as_bytes());
        assert_eq!(client.response("GET").status(), 401);
        std::thread::sleep(Duration::from_millis(1500));
    }
    client.send(&Request::get("/").bearer(&attack.token).bytes());
    assert_eq!(client.response("GET").status(), 200);
    assert!((attack.metric("countersign_protocol_errors_total") - 0.0).abs() < f64::EPSILON);
}

#[test]
fn c23_bytes_one_by_one_do_not_stretch_the_deadline() {
    for listeners in ["[ { address: \"127.0.0.1:{{port}}\" } ]", H2C] {
        for text in ["GET / HTTP/1.1\r\nX-Slow: ", "\r\n\r\n\r\n\r\n"] {
            let attack =
                Attack::with(|builder| builder.set("limits", SOON).set("listeners", listeners));
            let mut client = attack.client();
            let begun = Instant::now();
            let bytes = text.bytes().chain(
                std::iter::repeat(b'\n')
                    .filter(|_| text.starts_with('\r'))
                    .take(400),
            );
            for byte in bytes.chain(std::iter::repeat_n(b'x', 400)) {
                if client.try_send(&[byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(begun.elapsed() < Duration::from_secs(6), "{text:?}");
            attack.upstream().assert_untouched();
            drop(client);
            attack.calm();
        }
    }
}

#[test]
fn c23_a_tls_hello_that_never_comes_or_never_ends_is_not_waited_for() {
    let gateway = Builder::new()
        .upstream(&Recorder::start())
        .tls(&Authority::new(), &["app.test"])
        .set("limits", SOON)
        .start();
    for hello in [
        &b""[..],
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut client = Frames::silent(gateway.address());
        client.send(hello);
        assert!(client.ends_within(Duration::from_secs(10)), "{hello:?}");
    }
    until("the connections have ended", || {
        metric(&gateway, "countersign_connections") == 0.0
    });
    assert!(metric(&gateway, "countersign_protocol_errors_total") >= 3.0);
}

#[test]
fn c23_an_http2_client_that_stops_is_put_out() {
    let attack = Attack::with(|builder| builder.set("limits", SOON).set("listeners", H2C));
    let bearer = format!("Bearer {}", attack.token);
    let fields = block(&get("/slow", &bearer));
    let settings = frame(SETTINGS, 0, 0, &[]);
    for sent in [
        PREFACE[..3].to_vec(),
        PREFACE[..4].to_vec(),
        PREFACE[..20].to_vec(),
        PREFACE.to_vec(),
        [PREFACE, &settings].concat(),
        [PREFACE, &settings, &frame(HEADERS, 0, 1, &fields[..10])].concat(),
        [PREFACE, &settings, &frame(HEADERS, 0, 1, &fields)[..12]].concat(),
    ] {
        let mut client = Frames::silent(attack.gateway().address());
        client.send(&sent);
        assert!(client.ends_within(Duration::from_secs(10)), "{sent:?}");
    }
    attack.upstream().assert_untouched();
    attack.calm();
}

/// Headers that come one byte per CONTINUATION: the deadline of the head holds.
#[test]
fn c23_continuations_one_by_one_do_not_stretch_the_deadline() {
    let attack = Attack::with(|builder| builder.set("limits", SOON).set("listeners", H2C));
    let bearer = format!("Bearer {}", attack.token);
    let fields = block(&get("/slow", &bearer));
    let mut client = Frames::open(attack.gateway().address(), &[]);
    client.send(&frame(HEADERS, 1, 1, &fields[..1]));
    let begun = Instant::now();
    for byte in &fields[1..] {
        if !client.try_send(&frame(CONTINUATION, 0, 1, &[*byte])) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(client.ends_within(Duration::from_secs(5)));
    assert!(begun.elapsed() < Duration::from_secs(6));
    attack.upstream().assert_untouched();
    drop(client);
    attack.calm();
}

fn impatient(upstream: Recorder) -> Attack {
    let url = upstream.url();
    Attack::on(Scene::before(upstream, |builder| {
        builder.set("listeners", H2C).set(
            "upstreams",
            &format!(
                "[ {{ name: app, servers: [ \"{url}\" ], timeouts: {{ body_idle: 400ms }} }} ]"
            ),
        )
    }))
}

#[test]
fn c23_a_body_that_stops_breaks_off() {
    let attack = impatient(Recorder::start());
    for framing in [
        "Content-Length: 10\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let target = format!("/{}", framing.len());
        let mut client = attack.client();
        client.send(&attack.bytes(&format!("POST {target} HTTP/1.1\r\n{{auth}}{framing}")));
        let response = client.response("POST");
        attack
            .scene
            .check_refusal(&response, 408, "request_timeout");
        let seen = attack
            .upstream()
            .wait(|seen| seen.head.target() == target && seen.complete.is_some());
        assert_eq!(seen.complete, Some(false));
    }
    let bearer = format!("Bearer {}", attack.token);
    let mut client = Frames::open(attack.gateway().address(), &[]);
    let fields = post("/h2", &bearer);
    client.send(&headers(1, &fields, false));
    client.send(&frame(DATA, 0, 1, b"hello"));
    assert_eq!(
        client.end_of(1).reason().as_deref(),
        Some("request_timeout")
    );
    let seen = attack
        .upstream()
        .wait(|seen| seen.head.target() == "/h2" && seen.complete.is_some());
    assert_eq!(seen.complete, Some(false));
    drop(client);
    attack.calm();
}

/// An upstream that sends for ever as fast as it is read.
fn firehose() -> Recorder {
    Recorder::counting(|exchange: &mut Exchange<'_>| {
        if exchange.path() != "/hose" {
            exchange.respond(200, &[], b"fine");
            return;
        }
        exchange.begin_chunked(&[]);
        let piece = vec![b'x'; 64 * 1024];
        while exchange.send_chunk(&piece) {}
        exchange.close();
    })
}

#[test]
fn c23_a_client_that_does_not_read_is_put_out() {
    let attack = impatient(firehose());
    let mut clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = attack.client();
            client.send(&attack.request("GET", "/hose").bytes());
            client
        })
        .collect();
    attack.upstream().wait_ended(8);
    assert!(attack.gateway().peak_memory() < 128 << 20);
    for client in &mut clients {
        // What was on its way is still there; what follows is no complete end.
        assert!(!client.rest().ends_with(b"0\r\n\r\n"));
    }
    drop(clients);
    attack.calm();
}

/// Streams whose windows stay shut hold a response, an upstream connection and memory: they are
/// reset once their reader has taken nothing for as long as a body may be silent.
#[test]
fn c23_streams_that_do_not_read_are_reset() {
    let attack = impatient(firehose());
    let bearer = format!("Bearer {}", attack.token);
    // A window of one byte, and never another one.
    let mut client = Frames::open(attack.gateway().address(), &[(4, 1)]);
    for stream in 0..16_u32 {
        client.send(&headers(2 * stream + 1, &get("/hose", &bearer), true));
    }
    attack.upstream().wait_ended(16);
    // The connection itself is served on.
    let grant = (1_u32 << 20).to_be_bytes();
    client.send(&headers(101, &get("/fair", &bearer), true));
    client.send(&frame(WINDOW_UPDATE, 0, 101, &grant));
    let end = client.end_of(101);
    assert_eq!(end, super::frames::End::Answered(b"fine".to_vec()));
    assert!(attack.gateway().peak_memory() < 128 << 20);
    drop(client);
    attack.calm();
}

/// The same where every window is wide open and the socket is not read.
#[test]
fn c23_an_http2_client_that_does_not_read_is_put_out() {
    let attack = impatient(firehose());
    let bearer = format!("Bearer {}", attack.token);
    let wide = (1_u32 << 30).to_be_bytes();
    let mut client = Frames::open(attack.gateway().address(), &[(4, 1 << 30)]);
    client.send(&frame(WINDOW_UPDATE, 0, 0, &wide));
    for stream in 0..64_u32 {
        client.send(&headers(2 * stream + 1, &get("/hose", &bearer), true));
    }
    attack.upstream().wait_ended(64);
    let peak = attack.gateway().peak_memory();
    println!("64 streams nobody reads: peak RSS {} KiB", peak >> 10);
    assert!(peak < 128 << 20, "{peak}");
    drop(client);
    attack.calm();
}

/// One that reads a little at a time is served for as long as it reads.
#[test]
fn c23_a_slow_reader_gets_all_of_it() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.respond(200, &[], &vec![b'x'; 40_000]);
    });
    let attack = impatient(upstream);
    let bearer = format!("Bearer {}", attack.token);
    let mut client = Frames::open(attack.gateway().address(), &[(4, 1)]);
    client.send(&headers(1, &get("/slow", &bearer), true));
    let mut got = 0;
    let mut ended = false;
    while !ended {
        let next = client
            .next()
            .expect("the gateway goes on")
            .expect("the connection lives");
        if next.stream == 1 && next.kind == DATA {
            got += next.payload.len();
            ended = next.flags & END_STREAM != 0;
            std::thread::sleep(Duration::from_millis(100));
            client.send(&frame(WINDOW_UPDATE, 0, 1, &4_000_u32.to_be_bytes()));
        }
    }
    assert_eq!(got, 40_000);
    drop(client);
    attack.calm();
}

/// Thousands of connections that are open and say nothing cost little and keep nobody out.
#[test]
fn c23_many_idle_connections_cost_little() {
    const COUNT: u32 = 900;
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    let bearer = format!("Bearer {}", attack.token);
    let before = attack.gateway().peak_memory();
    let mut idle = Vec::new();
    for number in 0..COUNT {
        let mut client = Frames::open(attack.gateway().address(), &[]);
        if number % 2 == 0 {
            client.send(&headers(1, &get("/once", &bearer), true));
        }
        idle.push(client);
    }
    until("all are served", || {
        attack.metric("countersign_connections") >= f64::from(COUNT)
    });
    attack
        .gateway()
        .send(&attack.request("GET", "/fair"))
        .expect_status(200);
    let grown = attack.gateway().peak_memory().saturating_sub(before);
    println!("{COUNT} idle HTTP/2 connections: {} KiB", grown >> 10);
    assert!(grown / u64::from(COUNT) <= 64 << 10, "{grown}");
    drop(idle);
    attack.calm();
}

/// A client that stops after "PRI" costs no CPU while it is waited for.
#[test]
fn c23_half_a_preface_costs_no_cpu() {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    let halves: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(attack.gateway().address()).expect("accepted");
            stream.write_all(b"PRI").expect("sent");
            stream
        })
        .collect();
    until("all are waited for", || {
        attack.metric("countersign_connections") >= 300.0
    });
    let before = attack.gateway().cpu_ticks();
    std::thread::sleep(Duration::from_secs(2));
    let spent = attack.gateway().cpu_ticks() - before;
    println!("300 half prefaces for 2 s: {spent} ticks of CPU");
    assert!(spent <= 40, "{spent} ticks of 200");
    drop(halves);
    attack.calm();
}

/// 200 clients at a process with 64 descriptors: accepting backs off instead of spinning, and goes
/// on when there is room.
#[test]
fn f13_c23_running_out_of_descriptors_is_survived() {
    let upstream = Recorder::start();
    let gateway = Builder::new().upstream(&upstream).descriptors(64).start();
    let clients: Vec<_> = (0..200)
        .filter_map(|_| TcpStream::connect(gateway.address()).ok())
        .collect();
    gateway.wait_for_log("cannot accept");
    let before = gateway.cpu_ticks();
    std::thread::sleep(Duration::from_secs(2));
    let spent = gateway.cpu_ticks() - before;
    println!("out of descriptors for 2 s: {spent} ticks of CPU");
    assert!(spent <= 40, "{spent} ticks of 200");
    drop(clients);
    let token = Token::user("5").account("12").signed();
    until("it serves again", || {
        let mut client = gateway.client();
        client
            .try_send(&Request::get("/").bearer(&token).bytes())
            .is_ok()
            && client
                .try_response("GET")
                .is_ok_and(|response| response.status() == 200)
    });
    until("nothing is left", || {
        metric(&gateway, "countersign_connections") == 0.0
            && metric(&gateway, "countersign_requests_in_flight") == 0.0
    });
}
