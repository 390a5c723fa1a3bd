//! The one place that prints: progress goes to stderr, what was asked for goes to stdout.
//!
//! A closed pipe is not an error of the verb, so a failed write is dropped here and nowhere else.

use std::io::Write as _;

/// Prints one line about what is being done, on stderr.
pub(crate) fn progress(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").unwrap_or_default();
}

/// Prints bytes that were asked for, on stdout, at once.
pub(crate) fn output(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .unwrap_or_default();
}
