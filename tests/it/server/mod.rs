//! The doors: limits and deadlines, TLS, and an end that loses nothing.

mod audit;
mod drain;
mod limits;
mod quiet;
mod tls;
