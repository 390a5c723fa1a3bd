//! Developer commands: `cargo xtask <verb>`, one file per verb.
fn main() {}
