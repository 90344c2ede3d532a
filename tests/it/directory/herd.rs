//! The herd: everybody asks at once, as after a restart, in front of a real PostgreSQL that says
//! which look-ups it was asked for, by whom, and how many of the gateway's connections it saw then.

use std::collections::BTreeMap;
use std::sync::Barrier;

use crate::harness::{Client, Database, Gateway, Recorder, Request, Scene, Token, until};

const USERS: usize = 10_000;
/// Groups of clients: those of a group ask as the same user at the same time.
const GROUPS: usize = 200;
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

/// Asks as every user, so often at the same time, over hundreds of connections at once; gives what was
/// not as it should be.
fn ask_as_everybody(gateway: &Gateway, times: usize) -> Vec<String> {
    let everybody = Barrier::new(times * GROUPS);
    let groups: Vec<Barrier> = (0..GROUPS).map(|_| Barrier::new(times)).collect();
    let client = |number: usize| {
        let (share, group) = (USERS / GROUPS, number / times);
        let first = group * share + 1;
        let requests = (first..first + share).map(|user| {
            let token = Token::user(user.to_string()).signed();
            (user, Request::get("/").bearer(&token))
        });
        let requests: Vec<_> = requests.collect();
        let mut client = Client::connect(gateway.address());
        everybody.wait();
        let wrong = requests.iter().filter_map(|(user, request)| {
            groups[group].wait();
            let answer = client.exchange(request);
            let own = answer.status() == 200 && answer.text() == format!("of-{user}");
            (!own).then(|| format!("{user}: {} {}", answer.status(), answer.text()))
        });
        wrong.collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> = (0..times * GROUPS)
            .map(|number| scope.spawn(move || client(number)))
            .collect();
        let ended = clients.into_iter().map(|client| client.join());
        ended.flat_map(|wrong| wrong.expect("no panic")).collect()
    })
}

#[test]
fn e25_ten_thousand_users_at_once_cost_one_look_up_each_and_no_connection_more() {
    let database = Database::alone_with(TABLES);
    let url = database.url().replace("postgres@", "gateway@");
    let directory = format!(
        "source: {{ postgres: {{ url: \"${{DATABASE_URL}}\", max_connections: {CONNECTIONS}, lookups: {{ default: \"SELECT id, account, active FROM look_up($user)\" }} }} }}\n\
         cache: {{ ttl: 1h, ttl_without_push: 1h }}\nlimits: {{ timeout: 15s }}"
    );
    let upstream = Recorder::forgetful(|exchange| {
        let account = exchange.head.get("x-auth-account-id").map(str::to_owned);
        exchange.respond(200, &[], account.unwrap_or_default().as_bytes());
    });
    let scene = Scene::before(upstream, |builder| {
        builder
            .env("DATABASE_URL", &url)
            .set("directory", &directory)
    });
    assert_eq!(ask_as_everybody(&scene.gateway, 2), Vec::<String>::new());
    // The server writes its log by itself.
    until("each user was looked up", || {
        Asked::of(&database).users.len() == USERS
    });
    let asked = Asked::of(&database);
    let twice = asked.users.iter().find(|(_, count)| **count > 1);
    assert_eq!(twice, None, "looked up more than once");
    assert!(asked.most <= CONNECTIONS, "{} at once", asked.most);

    // From now on nobody is looked up: the cache has them all.
    assert_eq!(ask_as_everybody(&scene.gateway, 1), Vec::<String>::new());
    let number = USERS + 1;
    database.run(&format!("SELECT * FROM look_up('{number}')"));
    until("what came after them is in the log", || {
        Asked::of(&database).users.contains_key(&number.to_string())
    });
    let total: usize = Asked::of(&database).users.values().sum();
    assert_eq!(total, USERS + 1, "no look-up of the second round");
}
