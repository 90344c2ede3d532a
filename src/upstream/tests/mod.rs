//! The room against real sockets: every upstream here is a raw listener that reads and writes what
//! the test dictates.
