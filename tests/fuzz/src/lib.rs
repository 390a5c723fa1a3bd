//! What all binaries of this crate share: one target of `layerwatch::fuzz`, by its name.
//!
//! The crate is outside the workspace, so that nobody needs libFuzzer for anything else. `cargo xtask fuzz` builds it;
//! its layout is that of cargo-fuzz, which can be used instead (`cargo fuzz run --sanitizer none TARGET`).

/// Runs a target; one that does not exist is a fault of the crate's, not of the input's.
pub fn run(name: &str, bytes: &[u8]) {
    let Some(target) = layerwatch::fuzz::named(name) else {
        panic!("no target is called {name}");
    };
    (target.run)(bytes);
}
