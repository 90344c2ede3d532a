//! The admin listener: health for everybody, everything else for those who have the token.

use crate::harness::{ADMIN_TOKEN, Builder, Recorder, Request, Scene, Token};

#[test]
fn health_and_metrics_answer_any_host_without_a_token() {
    let scene = Scene::new();
    for path in ["/healthz", "/readyz", "/metrics"] {
        for host in ["localhost", "whatever.test:9090", "10.0.0.1"] {
            let response = scene.gateway.admin(&Request::get(path).host(host));
            assert_eq!(response.status(), 200, "{path} {host}");
        }
        for method in ["POST", "PUT", "DELETE"] {
            let request = Request::new(method, path).header("Content-Length", "0");
            let response = scene.gateway.admin(&request);
            assert_eq!(response.status(), 405, "{method} {path}");
        }
        for other in [
            format!("{path}/"),
            format!("{path}/x"),
            format!("/{path}"),
            path.to_uppercase(),
        ] {
            let response = scene.gateway.admin(&Request::get(&other));
            assert!(
                [401, 404].contains(&response.status()),
                "{other}: {}",
                response.status()
            );
        }
    }
}

#[test]
fn readiness_names_its_components() {
    let scene = Scene::new();
    let ready = scene
        .gateway
        .admin(&Request::get("/readyz"))
        .expect_status(200);
    let text = ready.json().to_string();
    for component in ["keys", "directory", "upstreams"] {
        assert!(text.contains(component), "no {component}: {text}");
    }
}

#[test]
fn metrics_count_decisions_and_name_nobody() {
    let scene = Scene::new();
    let token = Token::user("5").account("12").signed();
    scene.passes(&Request::get("/private-path-77").bearer(&token));
    scene.refuses(&Request::get("/"), 401, "credential_missing");
    let metrics = scene
        .gateway
        .admin(&Request::get("/metrics"))
        .expect_status(200);
    let kind = metrics
        .header("content-type")
        .unwrap_or_default()
        .to_owned();
    assert!(
        kind.contains("text/plain") || kind.contains("openmetrics"),
        "{kind}"
    );
    let text = metrics.text();
    assert!(text.contains("countersign_"), "{text}");
    for reason in ["credential_missing", "match"] {
        assert!(
            text.contains(&format!("\"{reason}\"")),
            "no {reason}: {text}"
        );
    }
    for secret in [
        token.as_str(),
        "private-path-77",
        "user=\"5\"",
        "tenant=\"default\"",
    ] {
        assert!(!text.contains(secret), "{secret} in: {text}");
    }
}

#[test]
fn f5_random_hosts_and_paths_make_no_new_series() {
    let scene = Scene::new();
    let series = || {
        let text = scene.gateway.admin(&Request::get("/metrics")).text();
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let shoot = |round: usize| {
        let mut client = scene.gateway.client();
        for number in 0..50 {
            let name = format!("{round}-{number}");
            let request = Request::get(&format!("/{name}"))
                .host(&format!("h{name}.test"))
                .header("User-Agent", &name);
            client.exchange(&request);
        }
    };
    shoot(0);
    let before = series();
    shoot(1);
    shoot(2);
    assert_eq!(series(), before);
}

#[test]
fn invalidate_needs_the_token() {
    let scene = Scene::new();
    let admin = scene.gateway.admin_address().to_string();
    let post = || Request::post("/v1/invalidate", b"{}").host(&admin);
    let wrong = format!("{ADMIN_TOKEN}x");
    let shorter = &ADMIN_TOKEN[..ADMIN_TOKEN.len() - 1];
    for request in [
        post(),
        post().bearer(&wrong),
        post().bearer(shorter),
        post().bearer(""),
        post().header("Authorization", &format!("Basic {ADMIN_TOKEN}")),
        post().header("X-Token", ADMIN_TOKEN),
        Request::post(&format!("/v1/invalidate?token={ADMIN_TOKEN}"), b"{}").host(&admin),
        post().bearer(&Token::user("5").account("12").signed()),
    ] {
        let response = scene.gateway.admin(&request);
        assert!(
            [401, 403, 404].contains(&response.status()),
            "{}",
            response.status()
        );
    }
    let response = scene
        .gateway
        .admin(&post().bearer(ADMIN_TOKEN))
        .expect_status(200);
    assert_eq!(response.json()["applied"], true);
    assert_eq!(response.json()["published"], false);
    scene.never_written(ADMIN_TOKEN);
}

#[test]
fn f2_other_sites_cannot_use_a_browser_against_it() {
    let scene = Scene::new();
    let post = || {
        scene
            .gateway
            .admin_request("POST", "/v1/invalidate")
            .body(b"{}")
    };
    let admin = scene.gateway.admin_address();
    for request in [
        post().host("evil.test"),
        post().host(&format!("evil.test:{}", admin.port())),
        post().header("Origin", "http://evil.test"),
        post().header("Origin", "null"),
        post().header("Sec-Fetch-Site", "cross-site"),
    ] {
        let response = scene.gateway.admin(&request);
        assert!(
            [400, 403, 404, 421].contains(&response.status()),
            "{}",
            response.status()
        );
    }
    let own = post().header("Origin", &format!("http://{admin}"));
    scene.gateway.admin(&own).expect_status(200);
}

#[test]
fn more_hosts_can_be_allowed() {
    let scene = Scene::with(|builder| {
        builder.set(
            "admin",
            "{ address: \"127.0.0.1:{{admin}}\", token: \"${COUNTERSIGN_ADMIN_TOKEN}\", hosts: [gateway.internal] }",
        )
    });
    let request = scene
        .gateway
        .admin_request("POST", "/v1/invalidate")
        .body(b"{}");
    scene
        .gateway
        .admin(&request.clone().host("gateway.internal:9090"))
        .expect_status(200);
    let refused = scene.gateway.admin(&request.host("other.internal"));
    assert!([400, 403, 404, 421].contains(&refused.status()));
}

#[test]
fn without_a_token_nothing_else_exists() {
    let scene = Scene::with(|builder| builder.set("admin", "{ address: \"127.0.0.1:{{admin}}\" }"));
    for path in [
        "/",
        "/v1/invalidate",
        "/v1/config",
        "/v1/streams",
        "/v1/explain",
        "/v1/directory/default/5",
    ] {
        for method in ["GET", "POST"] {
            let request = Request::new(method, path)
                .host(&scene.gateway.admin_address().to_string())
                .bearer(ADMIN_TOKEN)
                .body(b"{}");
            let response = scene.gateway.admin(&request);
            assert_eq!(response.status(), 404, "{method} {path}");
        }
    }
    scene
        .gateway
        .admin(&Request::get("/healthz"))
        .expect_status(200);
}

#[test]
fn f4_a_huge_body_is_not_read() {
    let scene = Scene::new();
    let request = scene
        .gateway
        .admin_request("POST", "/v1/invalidate")
        .body(&vec![b'x'; 4 << 20]);
    let response = scene.gateway.admin(&request);
    assert_eq!(response.status(), 413, "{}", response.text());
    scene
        .gateway
        .admin(&Request::get("/healthz"))
        .expect_status(200);
}

#[test]
fn an_unreadable_message_counts_as_everything() {
    let scene = Scene::new();
    let get = Request::get("/").bearer(&Token::user("5").account("12").signed());
    scene.passes_as(&get, "match");
    scene
        .gateway
        .replace_users("users: [ { user: \"5\", account: \"14\", active: true } ]\n");
    let request = scene
        .gateway
        .admin_request("POST", "/v1/invalidate")
        .body(b"not json");
    let response = scene.gateway.admin(&request);
    assert!(
        [200, 400].contains(&response.status()),
        "{}",
        response.text()
    );
    if response.status() == 200 {
        scene.passes_as(&get, "live_account");
    }
}

#[test]
fn f1_the_data_port_has_no_admin_interface() {
    let scene = Scene::new();
    for path in ["/healthz", "/readyz", "/metrics", "/v1/invalidate"] {
        let request = Request::post(path, b"{}").bearer(ADMIN_TOKEN);
        scene.refuses(&request, 401, "credential_malformed");
        scene.refuses(&Request::get(path), 401, "credential_missing");
    }
    let token = Token::user("5").account("12").signed();
    let (response, _) = scene.passes(&Request::get("/metrics").bearer(&token));
    assert_eq!(response.json()["target"], "/metrics");
}

#[test]
fn f22_a_gateway_that_cannot_look_up_is_not_ready() {
    let port = crate::harness::free_port();
    let upstream = Recorder::start();
    let gateway = Builder::new()
        .not_ready()
        .upstream(&upstream)
        .set(
            "directory",
            &format!(
                "source: {{ postgres: {{ url: \"postgres://x@127.0.0.1:{port}/y\", lookups: {{ default: \"SELECT id, account, active FROM users WHERE id = $user::bigint\" }} }} }}"
            ),
        )
        .start();
    let ready = gateway.admin(&Request::get("/readyz"));
    assert_eq!(ready.status(), 503, "{}", ready.text());
    assert!(ready.text().contains("directory"), "{}", ready.text());
    gateway.admin(&Request::get("/healthz")).expect_status(200);
}
