//! What the kernel programs see, on this machine's kernel and, by `cargo xtask vm`, on others.
//!
//! Every test loads and attaches the real programs, does a real access as a real user, and compares the whole answer.
//! Needs root. `LAYERWATCH_TEST_DETACHED=1` detaches the open hook after the self-check: every test of an open must then
//! fail, which `cargo xtask test` proves.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod gaps;
#[cfg(test)]
mod gone;
#[cfg(test)]
mod held;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod thin;
#[cfg(test)]
mod tiers;
#[cfg(test)]
mod uses;
#[cfg(test)]
mod ways;
