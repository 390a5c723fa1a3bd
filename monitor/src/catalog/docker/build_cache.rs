//! What Docker's BuildKit keeps of its builds: contexts that clients sent, steps' results, caches that steps mount.
//!
//! They lie among the layers, in the driver's own form, in no image and no `layerdb`: a key that was copied into a stage which
//! is not exported, or stands in a context and is copied nowhere, is there all the same. Invariant: ids are checked before they
//! are joined; what `layerdb` has is its layer and none of these. Format: `builder/builder-next/adapters/snapshot` of moby.
//! Called by the reader of layers.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::bolt::Database;
use super::super::buildkit::{self, Record, Records};
use super::super::containerd::values::{parts, text};
use super::super::names::{checked_id, cut};
use super::super::problem::{ProblemKind, Problems};
use crate::model::{BuildCache, Digest, LayerId};

/// Docker's BuildKit, below the data root.
pub(in crate::catalog) const HOME: &str = "buildkit";

/// Which snapshot is what of the driver's.
const SNAPSHOTS: &str = "snapshots.db";

const OPERATION: &str = "read a build's snapshot";

/// Snapshots that are looked at.
const MAX_SNAPSHOTS: usize = 100_000;

/// A snapshot as the database has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::catalog) struct Snapshot {
    /// What the driver calls it, if not as the builder does.
    committed: Option<String>,
    /// The one below, by the builder's name.
    parent: Option<String>,
    /// The layer that it became.
    chain: Option<Digest>,
    size_bytes: Option<u64>,
    is_committed: bool,
}

/// What a build keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    /// What the builder calls it, and `docker system df --verbose`.
    pub(super) id: String,
    /// What the driver does.
    pub(super) cache_id: String,
    /// The layer below: one of `layerdb`'s by its chain id, else another of these.
    pub(super) parent: Option<LayerId>,
    pub(super) size_bytes: Option<u64>,
    pub(super) record: Option<Record>,
    pub(super) is_finished: bool,
}

/// What a data root's builder has.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) kept: Vec<Kept>,
    /// The layers that it made and that are an image's now.
    pub(super) made: Vec<(LayerId, BuildCache)>,
}

/// What a data root's builder has; `None` where its database cannot be read now.
pub(super) fn read(root: &Path, problems: &mut Problems) -> Option<Builder> {
    let home = root.join(HOME);
    let file = home.join(SNAPSHOTS);
    if !file.exists() {
        return Some(Builder::default());
    }
    let (mut records, mut complaints) = (Records::default(), Vec::new());
    let database = buildkit::open(&file, &mut complaints);
    let snapshots = database.as_ref().map(|database| {
        let (snapshots, left_out) = snapshots(database);
        complaints.extend(buildkit::cut(left_out, &file));
        snapshots
    });
    complaints.extend(
        database
            .iter()
            .flat_map(|database| buildkit::damage(database, &file)),
    );
    records.read(&home, &mut complaints);
    for (kind, file, cause) in complaints {
        problems.add(kind, &file, buildkit::OPERATION, &cause);
    }
    let snapshots = snapshots?;
    let made = snapshots.iter().filter_map(|(name, snapshot)| {
        snapshot.committed.as_ref()?;
        let chain = snapshot.chain.as_ref()?;
        Some((LayerId::new(chain.hex()), records.get(name)?.cache))
    });
    Some(Builder {
        made: made.collect(),
        kept: kept(&snapshots, &records, &file, problems),
    })
}

/// The snapshots of a database, by the builder's names, and how many were left out: of no name, or too many.
pub(in crate::catalog) fn snapshots(database: &Database) -> (BTreeMap<String, Snapshot>, usize) {
    let rows = database.root().buckets();
    let count = rows.len();
    let rows = rows.into_iter().take(MAX_SNAPSHOTS);
    let rows = rows.filter_map(|(key, row)| {
        let (fields, _) = parts(&row);
        let present = |key| text(&fields, key).filter(|text| !text.is_empty());
        let snapshot = Snapshot {
            committed: present("committed").map(str::to_owned),
            parent: present("parent").map(str::to_owned),
            chain: present("chainid").and_then(|chain| Digest::parse(chain).ok()),
            size_bytes: present("size").and_then(|size| size.parse().ok()),
            is_committed: fields.contains_key("iscommitted".as_bytes()),
        };
        Some((std::str::from_utf8(key).ok()?.to_owned(), snapshot))
    });
    let snapshots: BTreeMap<String, Snapshot> = rows.collect();
    let left_out = count - snapshots.len();
    (snapshots, left_out)
}

fn kept(
    snapshots: &BTreeMap<String, Snapshot>,
    records: &Records,
    file: &Path,
    problems: &mut Problems,
) -> Vec<Kept> {
    // Who goes by another name: the driver's, and the builder's.
    let names = snapshots
        .iter()
        .filter_map(|(key, snapshot)| Some((snapshot.committed.as_deref()?, key.as_str())));
    let names: BTreeMap<&str, &str> = names.collect();
    let mut kept = Vec::new();
    // What was pulled for a build is a layer of `layerdb`, known by a digest or by the chain id that it has.
    let is_own = |(key, one): &(&String, &Snapshot)| {
        one.committed.is_none() && one.chain.is_none() && Digest::parse(key).is_err()
    };
    for (key, snapshot) in snapshots.iter().filter(is_own) {
        let name = names.get(key.as_str()).copied();
        let bad = |id| Some((id, checked_id(id).err()?));
        if let Some((id, why)) = [key, name.unwrap_or(key)].into_iter().find_map(bad) {
            let cause = format!("{why}: {:?}", cut(id));
            problems.add(ProblemKind::BadRecord, file, OPERATION, &cause);
            continue;
        }
        let alias = name.and_then(|name| snapshots.get(name));
        let record = records
            .get(key)
            .or_else(|| name.and_then(|name| records.get(name)));
        let own = snapshot.parent.as_deref();
        let parent = own.or_else(|| alias.and_then(|alias| alias.parent.as_deref()));
        kept.push(Kept {
            id: name.unwrap_or(key).to_owned(),
            cache_id: key.clone(),
            parent: parent.map(|parent| id_of(parent, snapshots, &names)),
            size_bytes: snapshot
                .size_bytes
                .or_else(|| alias.and_then(|alias| alias.size_bytes)),
            record: record.cloned(),
            is_finished: snapshot.is_committed || record.is_none_or(|record| record.is_finished),
        });
    }
    kept
}

/// The layer that the builder means by a key: one that it became, or was pulled as, else its own.
fn id_of(key: &str, snapshots: &BTreeMap<String, Snapshot>, names: &BTreeMap<&str, &str>) -> LayerId {
    let chain = snapshots.get(key).and_then(|snapshot| snapshot.chain.clone());
    match chain.or_else(|| Digest::parse(key).ok()) {
        Some(chain) => LayerId::new(chain.hex()),
        None => LayerId::new(names.get(key).copied().unwrap_or(key)),
    }
}
