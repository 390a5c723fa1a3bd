//! What a target outside the stores consists of: its layout, its layers, its images.
//!
//! Invariant: plain data; who takes it from a worker checks that it is bounded and fits together. Made by `archive`.

use serde::{Deserialize, Serialize};

/// Layers of one target.
pub(super) const MAX_LAYERS: usize = 4096;
/// Images of one target.
pub(super) const MAX_IMAGES: usize = 1024;

/// What a target is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// A directory.
    Directory,
    /// An OCI image layout in a directory.
    OciLayout,
    /// An OCI image layout in a tar.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
    /// One layer: a tar, packed or not.
    LayerBlob,
    /// Any other file.
    File,
}

impl Layout {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::OciLayout => "oci-layout",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
            Self::LayerBlob => "layer-blob",
            Self::File => "file",
        }
    }
}

/// An image of a target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Its names, escaped.
    pub names: Vec<String>,
    /// Its configuration's digest, or what stands for it, escaped.
    pub id: String,
    /// Numbers of its layers, lowest first.
    pub layers: Vec<u32>,
}

/// What a target consists of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// What it is.
    pub layout: Layout,
    /// Its layers: what the image calls them until they are read, then their digests; escaped.
    pub layers: Vec<String>,
    /// Its images.
    pub images: Vec<ImageShape>,
}

impl Shape {
    pub(super) fn bare(layout: Layout) -> Self {
        Self {
            layout,
            layers: Vec::new(),
            images: Vec::new(),
        }
    }
}
