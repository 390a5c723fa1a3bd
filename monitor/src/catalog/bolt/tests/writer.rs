//! Makes bolt files, as bbolt lays them out, for tests to read and to damage.

/// Small pages, so that small trees have several.
pub(crate) const PAGE: usize = 1024;

const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const FREE_LIST: u16 = 16;

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Bytes(Vec<u8>),
    Bucket(Entries),
}

pub(crate) type Entries = Vec<(Vec<u8>, Node)>;

/// A key with bytes.
pub(crate) fn bytes(key: &str, value: &[u8]) -> (Vec<u8>, Node) {
    (key.into(), Node::Bytes(value.to_vec()))
}

/// A key with a bucket.
pub(crate) fn bucket(key: &str, entries: Entries) -> (Vec<u8>, Node) {
    (key.into(), Node::Bucket(entries))
}

/// The file with these entries, which are put in order.
pub(crate) fn file(entries: Entries) -> Vec<u8> {
    let mut writer = Writer { pages: Vec::new() };
    let root = writer.bucket(entries);
    let pages = u64::try_from(writer.pages.len()).unwrap() + 3;
    let mut file: Vec<u8> = [0, 1]
        .into_iter()
        .flat_map(|number| meta(number, root, pages, 10 + number))
        .collect();
    file.extend(padded(page(2, FREE_LIST, &[])));
    file.extend(writer.pages.into_iter().flatten());
    file
}

/// A header page.
pub(crate) fn meta(number: u64, root: u64, pages: u64, transaction: u64) -> Vec<u8> {
    let mut meta = Vec::new();
    for word in [0xED0C_DAED_u32, 2, u32::try_from(PAGE).unwrap(), 0] {
        meta.extend(word.to_le_bytes());
    }
    for word in [root, 0, 2, pages, transaction] {
        meta.extend(word.to_le_bytes());
    }
    meta.extend(super::super::meta::fnv_1a(&meta).to_le_bytes());
    let mut page = header(number, 4, 0);
    page.extend(meta);
    padded(page)
}

struct Writer {
    /// From page 3 on, each whole.
    pages: Vec<Vec<u8>>,
}

impl Writer {
    /// Writes a bucket; its root page.
    fn bucket(&mut self, mut entries: Entries) -> u64 {
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut elements: Vec<Element> = Vec::new();
        for (key, node) in entries {
            let (flags, value) = match node {
                Node::Bytes(value) => (0, value),
                Node::Bucket(entries) => (1, self.sub_bucket(entries)),
            };
            elements.push((flags, key, value));
        }
        let mut level: Vec<(Vec<u8>, u64)> = Vec::new();
        for chunk in chunks(&elements) {
            let first = chunk.first().map(|(_, key, _)| key.clone()).unwrap_or_default();
            let leaf = |number| page(number, LEAF, chunk);
            level.push((first, self.push(leaf)));
        }
        while level.len() > 1 {
            level = level
                .chunks(8)
                .map(|children| {
                    let branch = |number| branch(number, children);
                    (children[0].0.clone(), self.push(branch))
                })
                .collect();
        }
        level[0].1
    }

    fn sub_bucket(&mut self, entries: Entries) -> Vec<u8> {
        let is_leaf = entries.iter().all(|(_, node)| matches!(node, Node::Bytes(_)));
        let mut elements: Vec<Element> = entries
            .iter()
            .filter_map(|(key, node)| match node {
                Node::Bytes(value) => Some((0, key.clone(), value.clone())),
                Node::Bucket(_) => None,
            })
            .collect();
        elements.sort();
        let inline = page(0, LEAF, &elements);
        let is_small = is_leaf && inline.len() < PAGE / 4;
        let root = if is_small { 0 } else { self.bucket(entries) };
        let mut value: Vec<u8> = [root, 7].into_iter().flat_map(u64::to_le_bytes).collect();
        if is_small {
            value.extend(inline);
        }
        value
    }

    fn push(&mut self, page: impl FnOnce(u64) -> Vec<u8>) -> u64 {
        let number = 3 + u64::try_from(self.pages.len()).unwrap();
        let page = padded(page(number));
        let rest = page.len() / PAGE - 1;
        self.pages.push(page);
        // Pages that follow have no place of their own in the list, but numbers.
        self.pages.extend(std::iter::repeat_n(Vec::new(), rest));
        number
    }
}

type Element = (u32, Vec<u8>, Vec<u8>);

fn chunks(elements: &[Element]) -> Vec<&[Element]> {
    let mut chunks = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (index, (_, key, value)) in elements.iter().enumerate() {
        let more = 16 + key.len() + value.len();
        if index > start && size + more > PAGE - 16 {
            chunks.push(&elements[start..index]);
            (start, size) = (index, 0);
        }
        size += more;
    }
    chunks.push(&elements[start..]);
    chunks
}

fn header(number: u64, flags: u16, count: usize) -> Vec<u8> {
    let mut page = number.to_le_bytes().to_vec();
    page.extend(flags.to_le_bytes());
    page.extend(u16::try_from(count).unwrap().to_le_bytes());
    page.extend(0_u32.to_le_bytes());
    page
}

fn page(number: u64, flags: u16, elements: &[Element]) -> Vec<u8> {
    let mut page = header(number, flags, elements.len());
    let mut data: Vec<u8> = Vec::new();
    for (index, (flags, key, value)) in elements.iter().enumerate() {
        let start = (elements.len() - index) * 16 + data.len();
        for word in [start, key.len(), value.len()]
            .into_iter()
            .fold(vec![*flags], |mut words, word| {
                words.push(u32::try_from(word).unwrap());
                words
            })
        {
            page.extend(word.to_le_bytes());
        }
        data.extend(key);
        data.extend(value);
    }
    page.extend(data);
    page
}

fn branch(number: u64, children: &[(Vec<u8>, u64)]) -> Vec<u8> {
    let mut page = header(number, BRANCH, children.len());
    let mut data: Vec<u8> = Vec::new();
    for (index, (key, child)) in children.iter().enumerate() {
        let start = (children.len() - index) * 16 + data.len();
        page.extend(u32::try_from(start).unwrap().to_le_bytes());
        page.extend(u32::try_from(key.len()).unwrap().to_le_bytes());
        page.extend(child.to_le_bytes());
        data.extend(key);
    }
    page.extend(data);
    page
}

/// Whole pages, with the number of those that follow the first in its header.
fn padded(mut page: Vec<u8>) -> Vec<u8> {
    let pages = page.len().div_ceil(PAGE);
    page.resize(pages * PAGE, 0);
    page[12..16].copy_from_slice(&u32::try_from(pages - 1).unwrap().to_le_bytes());
    page
}
