//! Floods on one connection: they cost their sender, nobody else.

use crate::harness::{Builder, Exchange, H2Client, H2Request, Recorder, Token};

#[test]
fn c21_a_rapid_reset_flood_harms_no_other_client() {
    let directory = Recorder::answering(|exchange: &mut Exchange<'_>| {
        let user = exchange.last_segment();
        exchange
            .respond_json(&serde_json::json!({ "user": user, "account": "12", "active": true }));
    });
    let upstream = Recorder::start();
    let url = directory.url();
    let gateway = Builder::new()
        .upstream(&upstream)
        .set(
            "listeners",
            "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]",
        )
        .set(
            "directory",
            &format!("source: {{ http: {{ url: \"{url}/{{tenant}}/{{user}}\" }} }}"),
        )
        .start();
    let address = gateway.address();
    let flood = std::thread::spawn(move || {
        let flooder = H2Client::clear(address);
        let token = Token::user("77").account("12").signed();
        let request = H2Request::new("POST", "app.test/flood").bearer(&token);
        (0..5_000)
            .take_while(|_| flooder.try_cancel(&request))
            .count()
    });
    let client = H2Client::clear(address);
    let token = Token::user("5").account("12").signed();
    for _ in 0..50 {
        let response = client.send(&H2Request::get("app.test/x").bearer(&token));
        assert_eq!(response.expect("a response").status, 200);
    }
    let sent = flood.join().expect("no panic");
    println!("the flooder got {sent} resets through");
    // Every reset stream asks for the same user: that is one look-up, not one each.
    let asked = directory.requests();
    let for_flooder = asked
        .iter()
        .filter(|seen| seen.head.target().ends_with("/77"))
        .count();
    assert!(for_flooder < 100, "{for_flooder}");
    let memory = gateway.peak_memory();
    assert!(memory < 256 << 20, "{memory}");
}
