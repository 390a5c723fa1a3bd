//! Integration tests: the library's public surface against real programs, and what the repository ships.
//!
//! Invariant: each test stands alone, in its own temporary directory and on its own ports.

mod deploy;
mod records;
mod sinks;
mod trust;
