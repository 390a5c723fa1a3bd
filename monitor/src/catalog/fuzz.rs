//! What the catalog reads from strangers, as functions over bytes: bolt files, and containerd's two kinds of them.
//!
//! Invariant: reading ends, within the file's size in work, whatever the bytes. Called by `crate::fuzz`.

use super::bolt::{Bucket, Database, Value};
use super::containerd;

/// Walks everything that can be reached, and reads it as either of containerd's databases.
pub(crate) fn bolt(bytes: &[u8]) {
    let Ok(database) = Database::parse(bytes.to_vec()) else {
        return;
    };
    let mut count = 0;
    walk(&database.root(), 0, &mut count);
    assert!(
        count <= bytes.len() + 1000,
        "{count} entries in {} bytes",
        bytes.len()
    );
    containerd::fuzz::databases(bytes);
}

fn walk(bucket: &Bucket<'_>, depth: usize, count: &mut usize) {
    for (_, value) in bucket.entries() {
        *count += 1;
        if let Value::Bucket(bucket) = value
            && depth < 50
        {
            walk(&bucket, depth + 1, count);
        }
    }
}
