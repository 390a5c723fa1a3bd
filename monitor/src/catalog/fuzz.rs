//! What the catalog reads from strangers, as functions over bytes: bolt files, and containerd's and BuildKit's kinds of them.
//!
//! Invariant: reading ends, within the file's size in work, whatever the bytes. Called by `crate::fuzz`.

use super::bolt::{Bucket, Database, Value};
use super::{buildkit, containerd, docker};

/// Walks everything that can be reached, and reads it as each of the databases that are known.
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
    let open = || Database::parse(bytes.to_vec()).ok();
    drop(open().map(|database| buildkit::Records::of(&database)));
    drop(open().map(|database| docker::build_cache::snapshots(&database)));
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
