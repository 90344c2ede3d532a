//! Sync: the locks and counters that cores share.
//!
//! They are the standard library's. The tests of `schedules/` are built with shuttle's in their
//! place, which try the orders in which threads can come to them; no other build knows of that.

#[cfg(not(all(test, feature = "schedules")))]
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};

#[cfg(all(test, feature = "schedules"))]
pub(super) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};
