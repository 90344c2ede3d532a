//! The herd: everybody asks at once, as after a restart, in front of a real PostgreSQL that says
//! which look-ups it was asked for, by whom, and how many of the gateway's connections it saw then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::time::Duration;

use crate::harness::{Builder, Database, Gateway, H2Client, H2Request, H2Upstream, Token, until};

const USERS: usize = 10_000;
/// Streams of a connection, each of which asks as another user.
const STREAMS: usize = 100;
/// How long the last of them may have to wait.
const PATIENT: Duration = Duration::from_mins(10);
/// The gateway's own connections to the database.
const CONNECTIONS: usize = 4;

/// A look-up runs in a transaction that may only read, so the server's log does the counting.
const TABLES: &str = r"
CREATE TABLE users (id text PRIMARY KEY, account text NOT NULL);
INSERT INTO users SELECT n, 'of-' || n FROM generate_series(1, 10000) n;
CREATE ROLE gateway LOGIN;
GRANT SELECT ON users TO gateway;
CREATE FUNCTION look_up(wanted text) RETURNS TABLE (id text, account text, active boolean)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RAISE LOG 'looked up % with %', wanted,
    (SELECT count(*) FROM pg_stat_activity WHERE usename = 'gateway');
  RETURN QUERY SELECT u.id, u.account, true FROM users u WHERE u.id = wanted;
END $$;
";

/// What the server was asked.
struct Asked {
    /// How often for each user.
    users: BTreeMap<String, usize>,
    /// The most connections of the gateway's that there were at once.
    most: usize,
}

impl Asked {
    fn of(database: &Database) -> Self {
        let mut asked = Self {
            users: BTreeMap::new(),
            most: 0,
        };
        for line in database.log().lines() {
            let Some((_, said)) = line.split_once("LOG:  looked up ") else {
                continue;
            };
            let words: Vec<&str> = said.split(' ').collect();
            // A probe of the gateway's own asks for nobody.
            if words[0].parse::<usize>().is_ok() {
                *asked.users.entry(words[0].to_owned()).or_default() += 1;
            }
            asked.most = asked.most.max(words[2].parse().expect("a count"));
        }
        asked
    }
}

/// Asks as every user, or one in so many, so often each and everything at once; gives what was not as it
/// should be.
fn ask_as_everybody(gateway: &Gateway, one_in: usize, times: usize) -> Vec<String> {
    let clients = USERS / STREAMS * times;
    let start = Barrier::new(clients);
    let client = |number: usize| {
        let first = number / times * STREAMS + 1;
        let users = (first..first + STREAMS).step_by(one_in);
        let requests = users.clone().map(|user| {
            let token = Token::user(user.to_string()).signed();
            H2Request::get("app.test/").bearer(&token)
        });
        let requests: Vec<_> = requests.collect();
        let client = H2Client::clear(gateway.second_address());
        start.wait();
        let answers = client.send_all_within(PATIENT, requests);
        let wrong = users
            .zip(answers)
            .filter_map(|(user, answer)| match answer {
                Ok(answer) if answer.status == 200 => None,
                Ok(answer) => Some(format!(
                    "{user}: {} {}",
                    answer.status,
                    answer.json()["reason"]
                )),
                Err(error) => Some(format!("{user}: {error}")),
            });
        wrong.collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|number| scope.spawn(move || client(number)))
            .collect();
        let ended = clients.into_iter().map(|client| client.join());
        ended.flat_map(|wrong| wrong.expect("no panic")).collect()
    })
}

/// How many requests were passed on, and as how many users; each in that user's own account.
fn passed_on(upstream: &H2Upstream) -> (usize, usize) {
    let seen = upstream.requests();
    let users: BTreeSet<String> = seen
        .iter()
        .map(|seen| {
            let header = |name: &str| seen.headers[name].to_str().expect("text").to_owned();
            let user = header("x-auth-user-id");
            assert_eq!(header("x-auth-account-id"), format!("of-{user}"));
            user
        })
        .collect();
    (seen.len(), users.len())
}

#[test]
fn e25_ten_thousand_users_at_once_cost_one_look_up_each_and_no_connection_more() {
    let database = Database::alone_with(TABLES);
    let url = database.url().replace("postgres@", "gateway@");
    let directory = format!(
        "source: {{ postgres: {{ url: \"${{DATABASE_URL}}\", max_connections: {CONNECTIONS}, lookups: {{ default: \"SELECT id, account, active FROM look_up($user)\" }} }} }}\n\
         cache: {{ ttl: 1h, ttl_without_push: 1h }}\nlimits: {{ timeout: 10m, queue: {USERS} }}"
    );
    // Few connections carry all that is let through, and no deadline is short for a core that has ten
    // thousand requests to read first: nothing but the directory is put to the test.
    let upstream = H2Upstream::start();
    let app = format!(
        "[ {{ name: app, protocol: h2c, servers: [ \"{}\" ], timeouts: {{ connect: 10m, response_head: 10m }} }} ]",
        upstream.url()
    );
    let gateway = Builder::new()
        .env("DATABASE_URL", &url)
        .set("upstreams", &app)
        .set(
            "listeners",
            "- address: \"127.0.0.1:{{port}}\"\n- { address: \"127.0.0.1:{{port2}}\", h2c: true }",
        )
        .set("directory", &directory)
        .set("audit", "{ when_full: drop }")
        .start();
    let wrong = ask_as_everybody(&gateway, 1, 2);
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(passed_on(&upstream), (2 * USERS, USERS));
    // The server writes its log by itself.
    until("each user was looked up", || {
        Asked::of(&database).users.len() == USERS
    });
    let asked = Asked::of(&database);
    let twice = asked.users.iter().find(|(_, count)| **count > 1);
    assert_eq!(twice, None, "looked up more than once");
    assert!(asked.most <= CONNECTIONS, "{} at once", asked.most);

    // From now on nobody is looked up: the cache has them.
    let wrong = ask_as_everybody(&gateway, 5, 1);
    assert_eq!(wrong, Vec::<String>::new());
    let number = USERS + 1;
    database.run(&format!("SELECT * FROM look_up('{number}')"));
    until("what came after them is in the log", || {
        Asked::of(&database).users.contains_key(&number.to_string())
    });
    let total: usize = Asked::of(&database).users.values().sum();
    assert_eq!(total, USERS + 1, "no look-up of the second round");
}
