//! Countersign: one authority decides who a request acts as, once, for that request alone, from
//! live data.
//!
//! The life of a request, and the rooms it passes (a room uses only rooms above it in this list):
//!
//! 1. [`ids`], [`reason`]: the words everything else is said in.
//! 2. [`telemetry`]: the clock, the log, the metrics, secrets that cannot be printed.
//!    [`drain`]: how the process stops without cutting anybody off.
//! 3. [`config`]: one YAML file, every mistake at once.
//! 4. [`wire`]: the one reading of what a client sent.
//! 5. [`net`]: connecting to others.
//! 6. [`credential`], [`token`], [`session`]: what a request carries, and whether it is authentic.
//! 7. [`directory`]: the live mapping of users to accounts, behind a tenant-keyed cache.
//! 8. [`route`]: which route, which tenant.
//! 9. [`auth`]: the one decider; the only maker of a principal.
//! 10. [`forward`]: what the upstream is told, and what the client is told back.
//! 11. [`upstream`]: the only way to an upstream.
//! 12. [`audit`]: one line per decision.
//! 13. [`reject`]: the only table from an error to a response.
//! 14. [`gateway`]: the straight line through all of them.
//! 15. [`admin`], [`server`], [`cli`]: the doors.

pub mod admin;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod credential;
pub mod directory;
pub mod drain;
pub mod forward;
pub mod gateway;
pub mod ids;
pub mod net;
pub mod reason;
pub mod reject;
pub mod route;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod token;
pub mod upstream;
pub mod wire;
