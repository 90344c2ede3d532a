//! The configuration as a user meets it: files that load, and files that are refused with the
//! place, the line and the words.

mod examples;
mod helpers;
mod meaning;
mod push;
mod resolved;
mod structure;
mod yaml;
