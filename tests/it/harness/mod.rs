//! What the tests stand on: the gateway as a process, an upstream that records, clients that send
//! exact bytes, real tokens, a real PostgreSQL.

mod client;
mod exchange;
mod gateway;
mod h2_upstream;
mod http2;
mod link;
mod mariadb;
mod message;
mod ports;
mod postgres;
mod process;
mod proof;
mod python;
mod recorder;
mod redis;
mod request;
mod scene;
mod tls;
mod tokens;
mod wait;
mod websocket;

pub(crate) use client::{Client, Response};
pub(crate) use exchange::{Exchange, answer_by_default};
pub(crate) use gateway::{ADMIN_TOKEN, Builder, Gateway};
pub(crate) use h2_upstream::H2Upstream;
pub(crate) use http2::{H2Client, H2Request};
pub(crate) use link::Link;
pub(crate) use mariadb::MariaDb;
pub(crate) use message::Head;
pub(crate) use ports::free_port;
pub(crate) use postgres::Database;
pub(crate) use process::{Output, Process, countersign};
pub(crate) use python::django as django_bin;
pub(crate) use recorder::{Recorder, Seen};
pub(crate) use redis::Redis;
pub(crate) use request::Request;
pub(crate) use scene::{Scene, challenge_of};
pub(crate) use tls::Authority;
pub(crate) use tokens::{Key, SECRET, Token, decode_claims, decode_part, now, sign_parts};
pub(crate) use wait::{Gate, PATIENCE, Watched};
pub(crate) use websocket::{Ended, WebSocket, accept, echo_messages, upgrade_headers};
