//! Exit statuses: 0 nothing found or accepted, 1 runtime error, 2 usage (clap's own), 3 found at or above `--fail-on` or
//! not accepted, 4 configuration or policy invalid, 5 the kernel or the privileges are not what the agent needs.
//!
//! Invariant: an error is printed once, with its causes, on stderr. Used by every verb.

use std::process::ExitCode;

use crate::app::Preflight;
use crate::config::ConfigError;
use crate::model::text::said;
use crate::scan::RuleError;

/// How a verb ended that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// Nothing found, or accepted.
    Clean,
    /// Found, or not accepted.
    Found,
    /// It could not be done to its end; it was said why.
    Incomplete,
    /// The agent cannot work here; it was said why.
    Unfit,
    /// A file is not what it should be; it was said why.
    Invalid,
}

/// The exit status for an outcome; prints the error.
#[expect(
    clippy::print_stderr,
    reason = "the one place that prints an error to the user"
)]
pub(super) fn code(outcome: anyhow::Result<Done>) -> ExitCode {
    match outcome {
        Ok(Done::Clean) => ExitCode::SUCCESS,
        Ok(Done::Found) => ExitCode::from(3),
        Ok(Done::Incomplete) => ExitCode::from(1),
        Ok(Done::Unfit) => ExitCode::from(5),
        Ok(Done::Invalid) => ExitCode::from(4),
        Err(error) => {
            eprintln!("layerwatch: {}", said(&format!("{error:#}")));
            ExitCode::from(status(&error))
        }
    }
}

fn status(error: &anyhow::Error) -> u8 {
    let is_invalid =
        |cause: &(dyn std::error::Error + 'static)| cause.is::<ConfigError>() || cause.is::<RuleError>();
    if error.chain().any(is_invalid) {
        4
    } else if error.chain().any(<dyn std::error::Error>::is::<Preflight>) {
        5
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelError;

    #[test]
    fn each_kind_of_error_has_its_status() {
        for (error, expected) in [
            (anyhow::anyhow!("anything"), 1),
            (
                anyhow::Error::new(Preflight::new(KernelError::NoPrograms)).context("run"),
                5,
            ),
        ] {
            assert_eq!(status(&error), expected, "{error:#}");
        }
    }
}
