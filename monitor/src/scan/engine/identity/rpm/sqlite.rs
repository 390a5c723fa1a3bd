//! The rows of one table of an `SQLite` database, without the library (`SQLite`'s "Database File Format").
//!
//! Invariant: total; pages that are visited are counted, so that a circle of pages ends. A write-ahead log that was not
//! folded in is not read: what only it has is not claimed. Called by `rpm`.

use super::{At, Budget, MAX_HEADER, MAX_PACKAGES, word};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// The file's header, at the beginning of the first page.
const HEADER: usize = 100;
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;
/// Columns of a row that are looked at.
const COLUMNS: usize = 8;

struct Database<'f, F: ?Sized> {
    file: &'f F,
    page: usize,
    /// The bytes of a page that content may use.
    usable: usize,
    budget: Budget,
}

/// Calls `take` with the second column of each row of that table.
pub(super) fn each_blob(file: &(impl At + ?Sized), table: &[u8], take: &mut dyn FnMut(&[u8])) -> Option<()> {
    let header = file.at(0, HEADER)?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    let page = match header.get(16..18)? {
        [0, 1] => 65_536,
        [high, low] => usize::from(*high) << 8 | usize::from(*low),
        _ => return None,
    };
    let usable = page.checked_sub(usize::from(*header.get(20)?))?;
    if !page.is_power_of_two() || usable < 480 {
        return None;
    }
    let database = Database {
        file,
        page,
        usable,
        budget: Budget::new(),
    };
    let mut root = None;
    // `sqlite_schema` is on the first page: type, name, table, root page, text.
    database.each_row(1, &mut |row| {
        if let [b"table", name, _, page, ..] = columns(row).as_slice()
            && *name == table
        {
            root = Some(
                page.iter()
                    .fold(0u32, |number, byte| number << 8 | u32::from(*byte)),
            );
        }
    })?;
    database.each_row(root?, &mut |row| {
        if let Some(blob) = columns(row).get(1) {
            take(blob);
        }
    })
}

impl<F: At + ?Sized> Database<'_, F> {
    fn read(&self, number: u32) -> Option<Vec<u8>> {
        self.budget.spend(self.page)?;
        let before = u64::from(number.checked_sub(1)?);
        self.file
            .at(before.checked_mul(u64::try_from(self.page).ok()?)?, self.page)
    }

    /// Calls `take` with each row of a table, in order.
    fn each_row(&self, root: u32, take: &mut dyn FnMut(&[u8])) -> Option<()> {
        let mut left = MAX_PACKAGES;
        let mut waiting = vec![root];
        while let Some(number) = waiting.pop() {
            left = left.checked_sub(1)?;
            let page = self.read(number)?;
            let head = if number == 1 { HEADER } else { 0 };
            let kind = *page.get(head)?;
            let count = short(&page, head + 3)?;
            let pointers = head + if kind == INTERIOR { 12 } else { 8 };
            let cells = (0..count).filter_map(|cell| short(&page, pointers + 2 * cell));
            match kind {
                LEAF => {
                    for cell in cells {
                        if let Some(row) = page.get(cell..).and_then(|cell| self.row(cell)) {
                            take(&row);
                        }
                    }
                }
                INTERIOR => {
                    let mut children: Vec<u32> = cells.filter_map(|cell| word(&page, cell)).collect();
                    children.push(word(&page, head + 8)?);
                    waiting.extend(children.into_iter().rev());
                }
                _ => return None,
            }
            if waiting.len() > MAX_PACKAGES {
                return None;
            }
        }
        Some(())
    }

    /// A row's record: as much as its page holds, then a chain of pages.
    fn row(&self, cell: &[u8]) -> Option<Vec<u8>> {
        let (length, rest) = varint(cell)?;
        let (_row, rest) = varint(rest)?;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= MAX_HEADER)?;
        let most = self.usable - 35;
        let local = if length <= most {
            length
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let fitting = least + (length - least) % (self.usable - 4);
            if fitting <= most { fitting } else { least }
        };
        self.budget.spend(local)?;
        let mut row = rest.get(..local)?.to_vec();
        let mut next = if local < length { word(rest, local)? } else { 0 };
        while row.len() < length {
            let page = self.read(next)?;
            next = word(&page, 0)?;
            let part = page.get(4..self.usable)?;
            row.extend_from_slice(part.get(..length - row.len()).unwrap_or(part));
        }
        Some(row)
    }
}

/// The first columns of a record, as they lie.
fn columns(record: &[u8]) -> Vec<&[u8]> {
    let mut columns = Vec::new();
    let Some((length, _)) = varint(record) else {
        return columns;
    };
    let Some((mut types, mut content)) = usize::try_from(length)
        .ok()
        .and_then(|length| record.split_at_checked(length))
    else {
        return columns;
    };
    // The length is a part of the header itself.
    types = varint(types).map_or(&[], |(_, rest)| rest);
    while let Some((kind, rest)) = varint(types).filter(|_| columns.len() < COLUMNS) {
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).unwrap_or(0),
            5 => 6,
            6 | 7 => 8,
            _ => usize::try_from((kind.saturating_sub(12)) / 2).unwrap_or(usize::MAX),
        };
        let Some((column, after)) = content.split_at_checked(length) else {
            break;
        };
        columns.push(column);
        (types, content) = (rest, after);
    }
    columns
}

/// A number of one to nine bytes, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        let rest = bytes.get(at + 1..)?;
        if at == 8 {
            return Some((number << 8 | u64::from(*byte), rest));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, rest));
        }
    }
    None
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = bytes.get(at..)?.first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*digits)))
}
