//! `layerwatch-cost`: what a monitor adds to an open and to a read, on the kernel it runs on.
//!
//! `measure PLAN` takes a plan (`layerwatch_tests::cost::Plan`) as JSON, measures as root, and prints a report; it mounts,
//! so it must have a mount namespace of its own. `worker [ROOT]` is the process that opens and reads. Built and started by
//! `cargo xtask bench kernel`.

mod audit;
mod contenders;
mod ground;
mod idle;
mod measure;
mod programs;
mod worker;

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["measure", plan] => {
            let plan = serde_json::from_str(plan).context("read the plan")?;
            let report = serde_json::to_string(&measure::run(&plan)?)?;
            writeln!(std::io::stdout(), "{report}").context("print the report")
        }
        ["worker"] => worker::serve(None),
        ["worker", root] => worker::serve(Some(Path::new(root))),
        _ => bail!("usage: layerwatch-cost measure PLAN"),
    }
}
