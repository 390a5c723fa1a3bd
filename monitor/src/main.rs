//! The `layerwatch` command: the scan worker under its hidden verb, everything else by `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|verb| verb == "scan-worker") && arguments.next().is_none() {
        return layerwatch::scan::worker_main();
    }
    layerwatch::cli::main()
}
