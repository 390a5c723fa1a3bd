//! `meta.db`: namespaces with their images, blobs and snapshots (`core/metadata/buckets.go` of containerd).
//!
//! Invariant: rows that make no sense are passed over and said; the number of rows is bounded. Called by the reader of a
//! root, and by a fuzz target.

use std::collections::BTreeMap;

use super::values::{Fields, parts, text, time};
use crate::catalog::bolt::{Bucket, Database};
use crate::catalog::names::{checked_id, cut};
use crate::catalog::reading::MAX_IMAGES;
use crate::model::Digest;

/// Kubernetes, Docker, BuildKit and nerdctl have one each.
const MAX_NAMESPACES: usize = 100;
/// Blobs of one namespace: manifest, configuration and layers of each image.
const MAX_BLOBS: usize = 200_000;
/// Snapshots of one namespace and snapshotter.
const MAX_SNAPSHOTS: usize = 50_000;

const SOURCE: &[u8] = b"containerd.io/distribution.source.";

/// A namespace, a world of its own in which images and snapshots have their names.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    pub(super) name: String,
    pub(super) images: Vec<ImageRow>,
    pub(super) blobs: BTreeMap<Digest, BlobRow>,
    /// By snapshotter.
    pub(super) snapshots: BTreeMap<String, Vec<SnapshotRow>>,
}

/// A name of an image and what it means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ImageRow {
    pub(super) name: String,
    /// A manifest or an index of manifests.
    pub(super) target: Digest,
    pub(super) created: Option<jiff::Timestamp>,
}

/// What is known of a blob.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct BlobRow {
    /// Registries, without their ports, and the repositories that it was pulled from.
    pub(super) sources: Vec<(String, String)>,
}

/// A snapshot as its namespace calls it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SnapshotRow {
    /// `sha256:<chain id>` for a layer, a container's id, `extract-… sha256:<chain id>` for a layer that is unpacked now.
    pub(super) key: String,
    /// What the snapshotter calls it.
    pub(super) name: String,
    pub(super) parent: Option<String>,
    pub(super) created: Option<jiff::Timestamp>,
}

/// What stands in the database.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) namespaces: Vec<Namespace>,
    /// Rows that make no sense, and what is more than is read.
    pub(super) bad: Vec<String>,
}

/// Reads the namespaces of a database.
pub(super) fn read(database: &Database) -> Metadata {
    let mut reader = Reader { bad: Vec::new() };
    let root = database.root();
    let version = root.bucket("v1");
    let namespaces = version.map(|version| version.buckets()).unwrap_or_default();
    if namespaces.len() > MAX_NAMESPACES {
        reader.too_many(namespaces.len(), "namespaces", MAX_NAMESPACES);
    }
    let namespaces = namespaces.into_iter().take(MAX_NAMESPACES);
    let namespaces = namespaces.filter_map(|(name, bucket)| reader.namespace(name, &bucket));
    Metadata {
        namespaces: namespaces.collect(),
        bad: reader.bad,
    }
}

struct Reader {
    bad: Vec<String>,
}

impl Reader {
    fn namespace(&mut self, name: &[u8], bucket: &Bucket<'_>) -> Option<Namespace> {
        let name = self.name(name, "a namespace")?;
        if let Err(why) = checked_id(&name) {
            self.bad.push(format!("namespace {:?}: {why}", cut(&name)));
            return None;
        }
        let (_, buckets) = parts(bucket);
        let content = buckets.get(b"content".as_slice());
        Some(Namespace {
            images: self.images(buckets.get(b"images".as_slice())),
            blobs: self.blobs(content.and_then(|content| content.bucket("blob"))),
            snapshots: self.snapshots(buckets.get(b"snapshots".as_slice())),
            name,
        })
    }

    fn images(&mut self, bucket: Option<&Bucket<'_>>) -> Vec<ImageRow> {
        let rows = self.bounded(bucket, "images", MAX_IMAGES);
        rows.filter_map(|(name, row)| {
            let name = self.name(name, "an image")?;
            let (fields, buckets) = parts(&row);
            let (target, _) = parts(buckets.get(b"target".as_slice())?);
            Some(ImageRow {
                target: self.digest(text(&target, "digest"), &name)?,
                created: at(&fields, "createdat"),
                name,
            })
        })
        .collect()
    }

    fn blobs(&mut self, bucket: Option<Bucket<'_>>) -> BTreeMap<Digest, BlobRow> {
        let rows = self.bounded(bucket.as_ref(), "blobs", MAX_BLOBS);
        rows.filter_map(|(name, row)| {
            let name = self.name(name, "a blob")?;
            let labels = row.bucket("labels").map(|labels| parts(&labels).0);
            let labels = labels.unwrap_or_default();
            let sources = labels
                .iter()
                .filter_map(|(key, value)| {
                    let host = std::str::from_utf8(key.strip_prefix(SOURCE)?).ok()?;
                    Some((host, std::str::from_utf8(value).ok()?))
                })
                .flat_map(|(host, repositories)| {
                    let repositories = repositories.split(',').filter(|one| !one.is_empty());
                    repositories.map(move |repository| (host.to_owned(), repository.to_owned()))
                });
            let sources = sources.collect();
            Some((self.digest(Some(&name), "a blob")?, BlobRow { sources }))
        })
        .collect()
    }

    fn snapshots(&mut self, bucket: Option<&Bucket<'_>>) -> BTreeMap<String, Vec<SnapshotRow>> {
        let snapshotters = self.bounded(bucket, "snapshotters", MAX_NAMESPACES);
        snapshotters
            .filter_map(|(snapshotter, bucket)| {
                let snapshotter = self.name(snapshotter, "a snapshotter")?;
                let rows = self.bounded(Some(&bucket), "snapshots", MAX_SNAPSHOTS);
                let rows = rows.filter_map(|(key, row)| {
                    let key = self.name(key, "a snapshot")?;
                    let (fields, _) = parts(&row);
                    let Some(name) = text(&fields, "name") else {
                        self.bad.push(format!("snapshot {:?} has no name", cut(&key)));
                        return None;
                    };
                    Some(SnapshotRow {
                        name: name.to_owned(),
                        parent: text(&fields, "parent")
                            .filter(|parent| !parent.is_empty())
                            .map(str::to_owned),
                        created: at(&fields, "createdat"),
                        key,
                    })
                });
                let rows = rows.collect();
                Some((snapshotter, rows))
            })
            .collect()
    }

    /// The buckets in a bucket, no more than `limit`.
    fn bounded<'a>(
        &mut self,
        bucket: Option<&Bucket<'a>>,
        what: &str,
        limit: usize,
    ) -> std::iter::Take<std::vec::IntoIter<(&'a [u8], Bucket<'a>)>> {
        let rows = bucket.map(Bucket::buckets).unwrap_or_default();
        if rows.len() > limit {
            self.too_many(rows.len(), what, limit);
        }
        rows.into_iter().take(limit)
    }

    fn too_many(&mut self, count: usize, what: &str, limit: usize) {
        self.bad
            .push(format!("{count} {what}, only the first {limit} are read"));
    }

    fn name(&mut self, bytes: &[u8], what: &str) -> Option<String> {
        let name = std::str::from_utf8(bytes).ok().map(str::to_owned);
        if name.is_none() {
            self.bad.push(format!("the name of {what} is not UTF-8"));
        }
        name
    }

    fn digest(&mut self, text: Option<&str>, what: &str) -> Option<Digest> {
        let parsed = Digest::parse(text.unwrap_or_default());
        let parsed = parsed.map_err(|error| self.bad.push(format!("{:?}: {error}", cut(what))));
        parsed.ok()
    }
}

fn at(fields: &Fields<'_>, key: &str) -> Option<jiff::Timestamp> {
    time(fields.get(key.as_bytes())?)
}
