//! What the attack tests share: a scene with a secret, exact bytes, and the calm after the storm.

use crate::harness::{Builder, Client, Gateway, Recorder, Request, Response, Scene, Token, until};

/// A gateway, its upstream, and a caller whose token must stand nowhere in what is written.
pub(super) struct Attack {
    pub(super) scene: Scene,
    pub(super) token: String,
}

impl Attack {
    pub(super) fn new() -> Self {
        Self::on(Scene::new())
    }

    /// In front of this upstream.
    pub(super) fn before(upstream: Recorder) -> Self {
        Self::on(Scene::before(upstream, |builder| builder))
    }

    /// With a changed configuration.
    pub(super) fn with(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::on(Scene::with(change))
    }

    pub(super) fn on(scene: Scene) -> Self {
        let token = Token::user("5").account("12").signed();
        Self { scene, token }
    }

    pub(super) fn gateway(&self) -> &Gateway {
        &self.scene.gateway
    }

    pub(super) fn upstream(&self) -> &Recorder {
        &self.scene.upstream
    }

    pub(super) fn client(&self) -> Client {
        self.gateway().client()
    }

    /// A request of user 5.
    pub(super) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(method, target).bearer(&self.token)
    }

    /// These bytes, `{auth}` replaced by the Host and Authorization lines of user 5.
    pub(super) fn bytes(&self, text: &str) -> Vec<u8> {
        let lines = format!("Host: app.test\r\nAuthorization: Bearer {}\r\n", self.token);
        text.replace("{auth}", &lines).into_bytes()
    }

    /// Sends these bytes; they are answered with this status alone, the connection ends, and the
    /// upstream is sent nothing. `reasons` are the ones that may stand in the answer; where it is
    /// empty the protocol layer itself answers, and counts it.
    #[track_caller]
    pub(super) fn refused(&self, text: &str, status: u16, reasons: &[&str]) -> Option<String> {
        self.refused_bytes(&self.bytes(text), status, reasons)
    }

    /// Sends a request whose path is refused, by whoever notices first; it goes nowhere.
    #[track_caller]
    pub(super) fn refused_path(&self, request: &Request) {
        let before = self.upstream().bytes();
        let mut client = self.client();
        client.send(&request.bytes());
        let response = client.response("GET");
        let shown = String::from_utf8_lossy(&request.bytes()).into_owned();
        assert_eq!(response.status(), 400, "{shown}: {}", response.text());
        assert_eq!(self.upstream().bytes(), before, "the upstream saw {shown}");
        if let Some(reason) = response.reason() {
            assert!(["malformed_request", "ambiguous_request"].contains(&&*reason));
            self.scene.check_refusal(&response, 400, &reason);
        }
    }

    #[track_caller]
    pub(super) fn refused_bytes(
        &self,
        bytes: &[u8],
        status: u16,
        reasons: &[&str],
    ) -> Option<String> {
        let shown = String::from_utf8_lossy(bytes).into_owned();
        let before = self.upstream().bytes();
        let errors = self.metric("countersign_protocol_errors_total");
        let mut client = self.client();
        client.send(bytes);
        let response = client
            .try_response("GET")
            .unwrap_or_else(|error| panic!("no answer ({error}) to {shown:?}"));
        assert_eq!(response.status(), status, "{shown:?}: {}", response.text());
        let rest = client.rest();
        assert!(rest.is_empty(), "after {shown:?}: {rest:?}");
        assert_eq!(
            self.upstream().bytes(),
            before,
            "the upstream saw {shown:?}"
        );
        let reason = response.reason();
        if let Some(reason) = &reason {
            assert!(reasons.contains(&&**reason), "{shown:?}: {reason}");
            self.scene.check_refusal(&response, status, reason);
        } else {
            assert!(response.body.is_empty(), "{shown:?}: {}", response.text());
            until("it is counted", || {
                self.metric("countersign_protocol_errors_total") > errors
            });
        }
        reason
    }

    /// One metric without labels; zero where it is not there.
    pub(super) fn metric(&self, name: &str) -> f64 {
        metric(self.gateway(), name)
    }

    /// Another caller is served as if nothing had happened, nothing is left open, and the secret
    /// stands nowhere.
    #[track_caller]
    pub(super) fn calm(&self) {
        let token = Token::user("7").account("14").signed();
        let request = Request::get("/calm").bearer(&token);
        self.gateway().send(&request).expect_status(200);
        self.settled();
    }

    /// The second half of [`Attack::calm`]: nothing is left open.
    #[track_caller]
    pub(super) fn settled(&self) {
        for gauge in [
            "countersign_requests_in_flight",
            "countersign_connections",
            "countersign_streams",
        ] {
            until(gauge, || self.metric(gauge) == 0.0);
        }
        let signature = self.token.rsplit('.').next().expect("three parts");
        self.scene.never_written(signature);
        assert!(!self.gateway().log().contains("panicked"));
    }

    /// Checks the audit line of a response that was forwarded.
    #[track_caller]
    pub(super) fn audited(&self, response: &Response) {
        let line = self.scene.audit_of(response);
        assert_eq!(line["decision"], "allow", "{line}");
        assert_eq!(line["user"], "5", "{line}");
        assert_eq!(line["status"], response.status(), "{line}");
    }
}

/// One metric of this gateway, summed over its labels.
pub(super) fn metric(gateway: &Gateway, name: &str) -> f64 {
    let page = gateway.admin(&Request::get("/metrics")).text();
    page.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
