//! A process's `status` file (`proc_pid_status(5)`): name, ids, capabilities.
//!
//! Invariant: parsing is total and bounded. Used by `processes`.

use std::path::Path;

use super::Credentials;
use crate::bounded;
use crate::exposure::ids::number;
use crate::model::text::printable;

const STATUS_LIMIT: u64 = 1 << 20;

/// What of a `status` file counts.
pub(super) struct Status {
    pub(super) name: String,
    pub(super) credentials: Credentials,
    pub(super) permitted: u64,
}

impl Status {
    pub(super) fn read(process: &Path) -> Option<Self> {
        let text = bounded::read(&process.join("status"), STATUS_LIMIT).ok()?;
        Self::parse(&text)
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = text.split(|byte| *byte == b'\n');
            lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))
        };
        let numbers = |name| {
            let words = field(name)?.split(u8::is_ascii_whitespace);
            Some(words.filter_map(number).collect::<Vec<u32>>())
        };
        // Real, effective, saved and file system ids; files are opened by the last.
        let uid = *numbers("Uid")?.get(3)?;
        let mut gids = vec![*numbers("Gid")?.get(3)?];
        gids.extend(numbers("Groups").unwrap_or_default());
        gids.sort_unstable();
        gids.dedup();
        let permitted = std::str::from_utf8(field("CapPrm")?).ok()?.trim();
        Some(Self {
            name: printable(field("Name")?.trim_ascii()).to_string(),
            credentials: Credentials { uid, gids },
            permitted: u64::from_str_radix(permitted, 16).ok()?,
        })
    }
}
