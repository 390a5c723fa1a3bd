//! `layerwatch replay`: a recording through the whole event plane again.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::exit::Done;
use super::output::{Format, Output, OutputArguments};
use crate::replay;

/// Flags of `replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// What `layerwatch record` wrote
    recording: PathBuf,
}

/// Prints the lines that the recorded agent wrote, one JSON object each; what was whole comes out before an error.
pub(super) fn replay(arguments: &ReplayArguments) -> Result<Done> {
    let mut output = Output::new(OutputArguments {
        format: Format::Jsonl,
    });
    for record in replay::replay(&arguments.recording)? {
        match record {
            Ok(record) => output.json_line(&record)?,
            Err(error) => {
                output.flush()?;
                return Err(error.into());
            }
        }
        if output.is_closed() {
            break;
        }
    }
    output.flush()?;
    Ok(Done::Clean)
}
