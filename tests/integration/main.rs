//! Integration tests: the library's public surface against real programs, and what the repository ships.
//!
//! Invariant: each test stands alone, in its own temporary directory and on its own ports.

#[cfg(test)]
mod accuracy;
#[cfg(test)]
mod agent;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod records;
#[cfg(test)]
mod scan;
#[cfg(test)]
mod sinks;
mod trust;
