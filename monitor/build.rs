//! Takes the object with the kernel programs into the agent, if `cargo xtask build` has made one.
//!
//! Without it the crate builds as well, so that `cargo check` needs no BPF toolchain; the agent then says at run
//! time that it holds no kernel programs. The object is `LAYERWATCH_EBPF_OBJECT`, or
//! `<target folder>/ebpf/layerwatch-ebpf.o`; a copy of it goes to `OUT_DIR` for `kernel/object.rs` to include.

use std::env;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

const NAME: &str = "layerwatch-ebpf.o";

fn main() -> Result<()> {
    emit("rustc-check-cfg=cfg(kernel_programs)");
    emit("rerun-if-env-changed=LAYERWATCH_EBPF_OBJECT");
    emit("rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| Error::other("Cargo sets OUT_DIR"))?);
    let given = env::var_os("LAYERWATCH_EBPF_OBJECT").map(PathBuf::from);
    let Some(object) = given.or_else(|| built(&out)) else {
        return Ok(());
    };
    if let Some(folder) = object.parent() {
        // The folder and not the file is watched: a watched file that does not exist would mean a build each time.
        std::fs::create_dir_all(folder)?;
        emit(&format!("rerun-if-changed={}", folder.display()));
    }
    if object.exists() {
        std::fs::copy(&object, out.join(NAME))?;
        emit("rustc-cfg=kernel_programs");
    }
    Ok(())
}

/// Where xtask puts the object: in the target folder, which Cargo marks with a tag file.
fn built(out: &Path) -> Option<PathBuf> {
    let target = out
        .ancestors()
        .filter(|folder| folder.join("CACHEDIR.TAG").exists())
        .last()?;
    Some(target.join("ebpf").join(NAME))
}

fn emit(instruction: &str) {
    println!("cargo::{instruction}");
}
