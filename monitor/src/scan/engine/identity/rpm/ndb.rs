//! rpm's own database, ndb: slots that say where packages lie (rpm's `lib/backend/ndb/rpmpkg.c`).
//!
//! Invariant: total; each slot is looked at once. Called by `rpm`.

use super::{At, Budget, MAX_HEADER, MAX_PACKAGES, size};

const MAGIC: &[u8] = b"RpmP";
const PAGE: usize = 4096;
const SLOT: usize = 16;
/// The file's own header takes the first two slots.
const FIRST_SLOT: usize = 2;
/// Places and lengths are counted in these.
const BLOCK: u64 = 16;
const BLOB_HEAD: usize = 16;

/// Calls `take` with each package's header.
pub(super) fn each_blob(file: &(impl At + ?Sized), take: &mut dyn FnMut(&[u8])) -> Option<()> {
    let head = file.at(0, 32)?;
    if !head.starts_with(MAGIC) {
        return None;
    }
    let pages = size(number(&head, 12)?).min(MAX_PACKAGES * SLOT / PAGE + 1);
    let budget = Budget::new();
    for page in 0..pages {
        let offset = u64::try_from(page * PAGE).ok()?;
        let slots = file.at(offset, PAGE)?;
        let first = if page == 0 { FIRST_SLOT } else { 0 };
        for slot in slots.chunks_exact(SLOT).skip(first) {
            if let Some(blob) = blob(file, slot, &budget) {
                take(&blob);
            }
        }
    }
    Some(())
}

/// What a slot points to; nothing if it is free or points to something else.
fn blob(file: &(impl At + ?Sized), slot: &[u8], budget: &Budget) -> Option<Vec<u8>> {
    let package = number(slot, 4).filter(|package| *package != 0)?;
    if !slot.starts_with(b"Slot") {
        return None;
    }
    let offset = u64::from(number(slot, 8)?) * BLOCK;
    let head = file.at(offset, BLOB_HEAD)?;
    let length = size(number(&head, 12)?);
    if !head.starts_with(b"BlbS") || number(&head, 4) != Some(package) || length > MAX_HEADER {
        return None;
    }
    budget.spend(length)?;
    file.at(offset + u64::try_from(BLOB_HEAD).ok()?, length)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*digits))
}
