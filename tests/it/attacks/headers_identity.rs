//! Identity headers: taken away under every spelling, written once, and never taken away again.

use super::{get, member, token};
use crate::harness::{
    Builder, Exchange, H2Client, H2Request, Head, Key, Recorder, Request, Scene, Seen, Token,
    WebSocket, accept, upgrade_headers,
};

const EVIL: &str = "evil-7";

/// Every name that the gateway may write, as configured in [`everything`].
const OURS: [&str; 9] = [
    "X-Auth-User-Id",
    "X-Auth-Account-Id",
    "X-Auth-Tenant-Id",
    "X-Auth-Roles",
    "X-Auth-Credential",
    "X-Auth-Email",
    "X-Auth-Assertion",
    "X-Request-Id",
    "X-Acted-As-User",
];

const ROUTES: &str = "[ { match: { path: /public }, access: public, upstream: app },
  { match: { path: /optional }, access: optional, upstream: app },
  { match: { path: / }, access: member, upstream: app } ]";

fn everything(builder: Builder) -> Builder {
    let key = Key::generate("ES256");
    builder
        .file("assertion.pem", &key.private_pem())
        .set("routes", ROUTES)
        .set(
            "identity",
            "{ attributes: { email: X-Auth-Email }, assertion: { private_key: { file: assertion.pem } }, echo: { user: X-Acted-As-User, account: X-Acted-As-Account, tenant: X-Acted-As-Tenant } }",
        )
}

/// The same request with the client's own word under each of our names, and their aliases.
fn spoofed(mut request: Request) -> Request {
    for name in OURS {
        request = request
            .header(name, EVIL)
            .header(&name.to_lowercase(), EVIL)
            .header(&name.replace('-', "_"), EVIL)
            .header(&name.replace('-', "."), EVIL);
    }
    request
}

/// No field carries the client's word.
#[track_caller]
fn assert_no_evil(head: &Head) {
    for (name, value) in &head.fields {
        assert!(!value.contains(EVIL), "{name}: {value}");
    }
}

/// The upstream was told of user 5, once under each name.
#[track_caller]
fn assert_five(seen: &Seen) {
    assert_no_evil(&seen.head);
    for (name, value) in [
        ("x-auth-user-id", "5"),
        ("x-auth-account-id", "12"),
        ("x-auth-tenant-id", "default"),
        ("x-auth-credential", "bearer"),
    ] {
        assert_eq!(seen.head.all(name), [value], "{name}");
    }
}

/// The upstream was told of nobody.
#[track_caller]
fn assert_nobody(seen: &Seen) {
    assert_no_evil(&seen.head);
    for name in OURS {
        if name != "X-Request-Id" {
            assert_eq!(seen.header(name), None, "{name}");
        }
    }
}

#[test]
fn b1_spoofed_identity_is_replaced_behind_every_door() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| match exchange.path() {
        "/ws" => drop(accept(exchange, None)),
        "/fails" => exchange.respond(500, &[], b"broken"),
        _ => crate::harness::answer_by_default(exchange),
    });
    let scene = Scene::before(upstream, everything);
    let good = token().signed();
    // A member route, one whose upstream fails, and other methods.
    let (_, seen) = scene.passes(&spoofed(get(&good)));
    assert_five(&seen);
    assert_eq!(seen.head.all("x-auth-assertion").len(), 1);
    assert_eq!(seen.head.all("x-request-id").len(), 1);
    let failing = spoofed(Request::get("/fails").bearer(&good));
    assert_eq!(scene.gateway.send(&failing).status(), 500);
    assert_five(&scene.upstream.last());
    for method in ["HEAD", "DELETE", "OPTIONS", "PURGE"] {
        let request = spoofed(Request::new(method, "/x").bearer(&good));
        scene.passes(&request);
        assert_five(&scene.upstream.last());
    }
    // An optional route with and without a credential, a public one, a preflight.
    let (_, seen) = scene.passes(&spoofed(Request::get("/optional").bearer(&good)));
    assert_five(&seen);
    let (_, seen) = scene.passes(&spoofed(Request::get("/optional")));
    assert_nobody(&seen);
    let (_, seen) = scene.passes(&spoofed(Request::get("/public").bearer(&good)));
    assert_nobody(&seen);
    let preflight = Request::new("OPTIONS", "/records")
        .header("Origin", "https://web.test")
        .header("Access-Control-Request-Method", "PUT");
    let (_, seen) = scene.passes(&spoofed(preflight));
    assert_nobody(&seen);
    // A WebSocket handshake.
    let handshake = spoofed(upgrade_headers(Request::get("/ws").bearer(&good)));
    drop(WebSocket::open(scene.gateway.address(), &handshake));
    assert_five(&scene.upstream.last());
    // Without a credential there is nobody, whatever the headers say.
    scene.refuses(&spoofed(Request::get("/x")), 401, "credential_missing");
    assert!(!scene.gateway.audit_text().contains(EVIL));
}

#[test]
fn b1_spoofed_identity_is_replaced_over_http2() {
    let scene = Scene::with(|builder| {
        everything(builder).set(
            "listeners",
            "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]",
        )
    });
    let client = H2Client::clear(scene.gateway.address());
    let mut request = H2Request::get("app.test/").bearer(&token().signed());
    for name in OURS {
        let name = name.to_lowercase();
        request = request
            .header(&name, EVIL)
            .header(&name.replace('-', "_"), EVIL)
            .header(&name.replace('-', "."), EVIL);
    }
    assert_eq!(client.send(&request).expect("a response").status, 200);
    assert_five(&scene.upstream.only());
}

#[test]
fn b2_what_is_not_known_does_not_let_the_clients_own_through() {
    // User 6 has no account, no roles, no e-mail.
    let scene =
        Scene::with(|builder| everything(builder).set("accounts", "{ on_no_account: allow }"));
    let request = spoofed(get(&Token::user("6").signed()));
    let (_, seen, line) = scene.passes_as(&request, "no_account");
    assert_no_evil(&seen.head);
    assert_eq!(seen.head.all("x-auth-user-id"), ["6"]);
    for name in ["x-auth-account-id", "x-auth-roles", "x-auth-email"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(line["user"], "6");
}

#[test]
fn b3_names_are_compared_as_servers_fold_them() {
    let scene = Scene::new();
    for name in [
        "X_Auth_User_Id",
        "x_auth-user_id",
        "X-AUTH_USER-ID",
        "X.Auth.User.Id",
        "X-Auth.User_Id",
        // Some gateways to CGI fold whatever is no letter or digit.
        "X!Auth!User!Id",
        "X~Auth-User~Id",
        "X+Auth+User+Id",
        "X'Auth'User'Id",
        "X*Auth^User|Id",
        "Remote!User",
        "Content!Length",
        "transfer_encoding",
        "Transfer_Encoding",
        "content_length",
        "Content.Length",
        "script_name",
        "path_info",
        "remote_user",
        "REMOTE.USER",
        "proxy",
        "Proxy_Connection",
        "host_",
        "_",
    ] {
        let (_, seen) = scene.passes(&member().header(name, EVIL));
        assert_five(&seen);
        let folded = |name: &str| {
            let odd = |letter: char| !letter.is_ascii_alphanumeric();
            name.replace(odd, "-").to_lowercase()
        };
        let evil = folded(name);
        let count = |seen: &Seen| {
            let names = seen.head.names();
            names.iter().filter(|sent| folded(sent) == evil).count()
        };
        assert!(count(&seen) <= 1, "{name}: {:?}", seen.head);
    }
    // A name with a space is no name.
    let before = scene.upstream.bytes();
    for name in ["X-Auth-User-Id ", "X-Auth User-Id", "X-Auth-User-Id\t"] {
        let mut client = scene.gateway.client();
        client.send(&member().header(name, EVIL).bytes());
        assert_eq!(client.head().status(), 400, "{name:?}");
    }
    assert_eq!(scene.upstream.bytes(), before);
}

#[test]
fn b3_a_second_framing_by_an_alias_frames_nothing() {
    let scene = Scene::new();
    let request = Request::post("/", b"hello")
        .bearer(&token().signed())
        .header("Transfer_Encoding", "chunked")
        .header("Content_Length", "1");
    let (_, seen) = scene.passes(&request);
    assert_eq!(seen.body, b"hello");
    let framing = seen.head.names().into_iter();
    let framing: Vec<_> = framing
        .filter(|name| name.contains("encoding") || name.contains("length"))
        .collect();
    assert_eq!(framing.len(), 1, "{framing:?}");
}

#[test]
fn b4_the_spelling_in_the_configuration_does_not_matter() {
    for (user, account) in [
        ("x-gateway-user", "x-gateway-account"),
        ("X-GATEWAY-USER", "X-GATEWAY-ACCOUNT"),
        ("x-Gateway-uSER", "X-gateway-Account"),
    ] {
        let headers = format!("{{ headers: {{ user: {user}, account: {account} }} }}");
        let scene = Scene::with(|builder| builder.set("identity", &headers));
        let request = member()
            .header("X-Gateway-User", EVIL)
            .header("x-gateway-user", EVIL)
            .header("X_GATEWAY_USER", EVIL)
            .header("X-gateway-ACCOUNT", EVIL);
        let (_, seen) = scene.passes(&request);
        assert_no_evil(&seen.head);
        assert_eq!(seen.head.all("x-gateway-user"), ["5"]);
        assert_eq!(seen.head.all("x-gateway-account"), ["12"]);
    }
}

#[test]
fn b5_no_connection_line_removes_what_the_gateway_writes() {
    let scene = Scene::with(everything);
    let nominations: [&[u8]; 8] = [
        b"x-auth-user-id",
        b"X-AUTH-USER-ID",
        b"close, x-auth-user-id",
        b"keep-alive, X-Auth-User-Id, x-auth-account-id, X-Auth-Tenant-Id",
        b"x-request-id, x-forwarded-for, x-forwarded-proto, via",
        b"x-auth-assertion,X-Auth-Credential",
        b"x-auth-user-id, \xff\xfe",
        b",,x-auth-user-id,,",
    ];
    for nominated in nominations {
        for lines in [vec![nominated], vec![b"keep-alive".as_slice(), nominated]] {
            let mut request = spoofed(member());
            for line in lines {
                request = request.raw_header("Connection", line);
            }
            let (_, seen) = scene.passes(&request);
            assert_five(&seen);
            assert_eq!(seen.header("connection"), None);
            for name in ["x-request-id", "x-forwarded-for", "x-auth-assertion", "via"] {
                assert_eq!(seen.head.all(name).len(), 1, "{name}");
            }
        }
    }
}

#[test]
fn b6_no_connection_line_removes_who_what_or_how() {
    let scene = Scene::with(|builder| {
        builder.set(
            "listeners",
            "[ { address: \"127.0.0.1:{{port}}\", trusted_proxies: [127.0.0.0/8] } ]",
        )
    });
    let token = token().signed();
    let request = Request::post("/", b"hello")
        .bearer(&token)
        .header("Content-Type", "text/plain")
        .header("Content-Encoding", "identity")
        .header("Cookie", "a=1")
        .header("X-Forwarded-For", "203.0.113.9")
        .header(
            "Connection",
            "Host, AUTHORIZATION, cookie, content-length, Content-Type, content-encoding, x-forwarded-for, forwarded",
        );
    let (_, seen) = scene.passes(&request);
    assert_five(&seen);
    assert_eq!(seen.head.all("host"), ["app.test"]);
    assert_eq!(seen.head.all("authorization"), [format!("Bearer {token}")]);
    assert_eq!(seen.head.all("cookie"), ["a=1"]);
    assert_eq!(seen.head.all("content-type"), ["text/plain"]);
    assert_eq!(seen.head.all("content-encoding"), ["identity"]);
    let client = seen.head.all("x-forwarded-for").join(", ");
    assert!(client.starts_with("203.0.113.9"), "{client}");
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.complete, Some(true));
}

#[test]
fn b7_many_lines_and_lists_of_one_name_leave_one() {
    let scene = Scene::with(everything);
    let mut request = member();
    for value in ["1", "1, 2", "evil-7", "", ",,", "5"] {
        request = request
            .header("X-Auth-User-Id", value)
            .header("x-AUTH-user-ID", value)
            .header("X-Forwarded-User", "evil-7, 5")
            .header("x-forwarded-USER", "evil-7")
            .header("X-Forwarded-For", "evil-7");
    }
    let (_, seen) = scene.passes(&request);
    assert_five(&seen);
    assert_eq!(seen.header("x-forwarded-user"), None);
    assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"]);
}

/// Users whose live records say what no header can.
const UNSAFE: &str = r#"users:
  - { user: "日本", account: "12", active: true }
  - { user: "a b", account: "12", active: true }
  - { user: "account", account: "Zoë", active: true }
  - { user: "comma", account: "12", active: true, roles: ["x,admin"] }
  - { user: "wide", account: "12", active: true, roles: ["rôle"] }
  - { user: "break", account: "12", active: true, roles: ["a\r\nX-Evil: 1"] }
  - { user: "fine", account: "12", active: true, roles: ["b", "a"], attributes: { email: "x\r\nX-Evil: 1", plan: " lead, trail " } }
  - { user: "text", account: "12", active: true, attributes: { email: "日本", plan: "UTF-8''evil" } }
"#;

fn unsafe_scene() -> Scene {
    Scene::with(|builder| {
        builder.users(UNSAFE).set(
            "identity",
            "{ attributes: { email: X-Auth-Email, plan: X-Auth-Plan } }",
        )
    })
}

#[test]
fn b11_an_identity_that_no_header_carries_is_refused_and_attributes_are_encoded() {
    let scene = unsafe_scene();
    for user in ["日本", "account", "wide", "break"] {
        scene.refuses(&get(&Token::user(user).signed()), 403, "identity_unsafe");
    }
    scene.upstream.assert_untouched();
    // Nor a tenant.
    let abroad = Scene::with(|builder| {
        let users = "users: [ { tenant: \"日本\", user: \"5\", account: \"12\", active: true } ]";
        builder
            .users(users)
            .set("tenants", "sources: [ token: {} ]")
    });
    abroad.refuses(
        &get(&token().tenant("日本").signed()),
        403,
        "identity_unsafe",
    );
    abroad.upstream.assert_untouched();
    let (_, seen) = scene.passes(&get(&Token::user("fine").signed()));
    assert_eq!(
        seen.head.all("x-auth-email"),
        ["UTF-8''x%0D%0AX-Evil%3A%201"]
    );
    assert_eq!(
        seen.head.all("x-auth-plan"),
        ["UTF-8''%20lead%2C%20trail%20"]
    );
    assert_eq!(seen.header("x-evil"), None);
    let (_, seen) = scene.passes(&get(&Token::user("text").signed()));
    assert_eq!(seen.head.all("x-auth-email"), ["UTF-8''%E6%97%A5%E6%9C%AC"]);
    // What only looks encoded is encoded too, so that there is one way back.
    assert_eq!(seen.head.all("x-auth-plan"), ["UTF-8''UTF-8%27%27evil"]);
}

#[test]
fn b12_a_role_with_the_delimiter_in_its_name_is_refused() {
    let scene = unsafe_scene();
    scene.refuses(&get(&Token::user("comma").signed()), 403, "identity_unsafe");
    scene.upstream.assert_untouched();
    let (_, seen) = scene.passes(&get(&Token::user("fine").signed()));
    assert_eq!(seen.head.all("x-auth-roles"), ["a,b"]);
}
