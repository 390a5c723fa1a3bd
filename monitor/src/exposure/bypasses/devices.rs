//! The block devices and image files under stores, and who can read them.
//!
//! Invariant: a disk's reader reads every file of the host, and is root's equal; the reader of an image file is not.

use std::os::unix::fs::FileTypeExt;

use super::{Open, bypass};
use crate::exposure::gates::shell_quoted;
use crate::exposure::look::{Looker, Wanted};
use crate::exposure::readers::readers_of;
use crate::model::{Means, RawDevice, StoreId};

/// Who can read the devices and image files under a store.
pub(in crate::exposure) fn devices(looker: &Looker, devices: &[RawDevice]) -> Vec<(StoreId, Open)> {
    let mut found = Vec::new();
    for device in devices {
        let seen = looker.host().path(&device.path);
        let Ok(metadata) = std::fs::metadata(&seen) else {
            continue;
        };
        let way = looker.walk(&seen, Wanted::Read);
        let Some(last) = way.components.last() else {
            continue;
        };
        // A file of one store's content is not the whole host.
        let is_disk = metadata.file_type().is_block_device();
        found.extend(readers_of(&way).readers.into_iter().map(|reader| {
            let open = Open {
                bypass: bypass(reader, Means::Device, &device.path, is_disk),
                gate: Some(last.gate()),
                remedy: Some(format!(
                    "chmod {:o} {}",
                    last.mode & 0o770,
                    shell_quoted(&device.path)
                )),
                owner_uid: 0,
            };
            (device.store.clone(), open)
        }));
    }
    found
}
