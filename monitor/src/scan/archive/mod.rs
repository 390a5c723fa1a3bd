//! Images outside a store: OCI layouts, docker-archive and oci-archive tars, single layer blobs.
//!
//! `blobs` opens the parts, which `index` finds in a tar, `manifest` reads which layers make which image, `shadow` follows findings through
//! the layers above. Invariant: each layer is decoded once, from the lowest up, and never kept; what is hostile in one
//! part is counted and the other parts are scanned. A layer's id is the digest of what was decoded, whatever the image
//! claims. Runs in the scan worker.

mod blobs;
mod index;
mod manifest;
mod shadow;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::engine::{FileFault, Run, Scanner, inode, of_file};
use super::error::ScanError;
use super::rules::hex;
use super::shape::{ImageShape, Layout, Shape};
use super::stream::ahead::ahead;
use super::stream::decode::decoder;
use super::stream::limit::{Count, Limit};
use super::stream::peek::Peeked;
use super::stream::{Fault, Magic, Stream, magic, skip_by_reading};
use super::summary::{ProblemKind, Progress, ScanSummary};
use super::target::Shadow;
use crate::model::{DevIno, Finding, ImageId, StoreId};
use blobs::Blobs;
use manifest::Images;
use shadow::Shadows;

/// What is told while a target is scanned.
pub(super) enum Told {
    /// What the target is; once, before anything is found.
    Shape(Shape),
    Progress(Progress),
    /// A finding, numbered from 0 in the order in which they come; with its layer or its image.
    Found {
        finding: Box<Finding>,
        layer: Option<u32>,
        image: Option<u32>,
    },
    /// A layer was read to its end and has this digest.
    Layer {
        layer: u32,
        diff_id: String,
    },
    /// What a layer does to an earlier finding.
    Shadow(Shadow),
}

/// Scans whatever lies at `path`: a directory, an OCI layout, an image archive, a layer blob, any other file.
pub(super) fn scan_target(
    scanner: &Scanner,
    path: &Path,
    tell: &mut dyn FnMut(Told),
) -> Result<ScanSummary, ScanError> {
    let unreadable = |source| ScanError::Root {
        root: path.to_owned(),
        source,
    };
    let file = open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        if !blobs::is_layout(&file) {
            return directory(scanner, path, tell);
        }
        let key = rustix::fs::fstat(&file).map_err(|errno| unreadable(errno.into()))?;
        let (key, blobs) = (inode(&key), Blobs::Layout(file.into()));
        return Ok(Target::new(scanner, key, tell).images(&blobs, Layout::OciLayout));
    }
    let opened = of_file(file).map_err(|FileFault { errno, .. }| {
        unreadable(errno.map_or_else(
            || std::io::Error::other("neither a file nor a directory"),
            std::io::Error::from_raw_os_error,
        ))
    })?;
    let mut target = Target::new(scanner, opened.key, tell);
    if let Some((blobs, layout)) = Blobs::of_archive(&opened.file, opened.size, &mut target.summary) {
        return Ok(target.images(&blobs, layout));
    }
    if blobs::is_layer(&opened.file, opened.size) {
        let blobs = Blobs::Single(&opened.file, opened.size);
        return Ok(target.images(&blobs, Layout::LayerBlob));
    }
    (target.tell)(Told::Shape(Shape::bare(Layout::File)));
    let name = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    target.bare(|run, summary| run.opened(&opened, &name, summary));
    Ok(target.summary)
}

fn open(path: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn directory(scanner: &Scanner, path: &Path, tell: &mut dyn FnMut(Told)) -> Result<ScanSummary, ScanError> {
    tell(Told::Shape(Shape::bare(Layout::Directory)));
    let tell = RefCell::new(tell);
    scanner.scan_directory(
        path,
        None,
        &mut |progress| (tell.borrow_mut())(Told::Progress(progress)),
        &mut |finding| (tell.borrow_mut())(found(finding, None, None)),
    )
}

fn found(finding: Finding, layer: Option<u32>, image: Option<u32>) -> Told {
    Told::Found {
        finding: Box::new(finding),
        layer,
        image,
    }
}

/// One target that is no directory.
struct Target<'a> {
    scanner: &'a Scanner,
    key: DevIno,
    tell: &'a mut dyn FnMut(Told),
    summary: ScanSummary,
    shadows: Shadows,
    findings: u32,
}

impl<'a> Target<'a> {
    fn new(scanner: &'a Scanner, key: DevIno, tell: &'a mut dyn FnMut(Told)) -> Self {
        Self {
            scanner,
            key,
            tell,
            summary: ScanSummary::default(),
            shadows: Shadows::default(),
            findings: 0,
        }
    }

    /// A scan that belongs to no layer.
    fn bare(&mut self, scan: impl FnOnce(&mut Run<'_>, &mut ScanSummary)) {
        let tell = RefCell::new(&mut self.tell);
        let mut progress = |progress| (tell.borrow_mut())(Told::Progress(progress));
        let mut finding = |finding| (tell.borrow_mut())(found(finding, None, None));
        let mut run = Run::new(self.scanner, None, &mut progress, &mut finding);
        scan(&mut run, &mut self.summary);
        run.end(&self.summary);
    }

    fn images(mut self, blobs: &Blobs<'_>, layout: Layout) -> ScanSummary {
        let images = Images::read(blobs, layout, &mut self.summary);
        let shape = Shape {
            layout,
            layers: images.layers.iter().map(manifest::LayerPart::shown).collect(),
            images: images
                .list
                .iter()
                .map(|image| ImageShape {
                    names: image.names.clone(),
                    id: image.id.clone(),
                    layers: image.layers.clone(),
                })
                .collect(),
        };
        (self.tell)(Told::Shape(shape));
        self.configurations(&images);
        let names: Vec<&[u8]> = images.layers.iter().map(|layer| layer.blob.as_slice()).collect();
        blobs.each(&names, &mut |number, stream| {
            let layer = u32::try_from(number).unwrap_or(u32::MAX);
            let Some(known) = images.layers.get(number) else {
                return;
            };
            let outcome = match stream {
                Ok(stream) => self.layer(layer, stream, known.diff_id.as_deref()),
                Err(problem) => {
                    self.summary.problem(problem, &known.blob, None);
                    return;
                }
            };
            if let Err(fault) = outcome {
                self.summary.problem(fault.problem(), &known.blob, fault.errno());
            }
        });
        self.summary
    }

    fn configurations(&mut self, images: &Images) {
        for (number, image) in images.list.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let nobody = (StoreId::new(""), ImageId::new(""));
            let name = Path::new("");
            match self
                .scanner
                .scan_image_config_bytes(&image.config, name, &nobody.0, &nobody.1)
            {
                Ok(findings) => {
                    for finding in findings {
                        self.findings += 1;
                        (self.tell)(found(finding, None, Some(number)));
                    }
                }
                Err(_) => self
                    .summary
                    .problem(ProblemKind::Archive, image.id.as_bytes(), None),
            }
        }
        // Numbers in `shadows` are numbers of all findings.
        self.shadows.skip(self.findings);
    }

    /// Decodes and scans one layer; its digest is told when all of it was read.
    fn layer(&mut self, layer: u32, blob: &mut dyn Stream, claimed: Option<&str>) -> Result<(), Fault> {
        let read = Count::default();
        let mut peeked = Peeked::new(blob)?;
        let diff_id = match magic(peeked.head()) {
            Some(Magic::Tar) => self.entries(layer, &mut peeked)?,
            Some(packing @ (Magic::Gzip | Magic::Zstd)) => {
                let decoded = decoder(packing, &mut peeked, &read, Limit::LAYER)?;
                let mut decoded = decoded.ok_or(Fault::Damaged)?;
                ahead(&mut *decoded, |decoded| self.entries(layer, decoded))??
            }
            // A tar of nothing is zeros; everything else is no layer.
            None if peeked.head().iter().all(|byte| *byte == 0) => self.entries(layer, &mut peeked)?,
            Some(Magic::Zip) | None => return Err(Fault::Damaged),
        };
        if claimed.is_some_and(|claimed| claimed != diff_id) {
            self.summary
                .problem(ProblemKind::Digest, diff_id.as_bytes(), None);
        }
        (self.tell)(Told::Layer { layer, diff_id });
        Ok(())
    }

    /// The layer's digest, once all of it was searched; what `stream` costs is another thread's.
    fn entries(&mut self, layer: u32, stream: &mut dyn Stream) -> Result<String, Fault> {
        let mut hashed = Hashed {
            inner: stream,
            hash: Sha256::new(),
        };
        ahead(&mut hashed, |stream| self.search(layer, stream))??;
        Ok(format!("sha256:{}", hex(&hashed.hash.finalize())))
    }

    fn search(&mut self, layer: u32, stream: &mut dyn Stream) -> Result<(), Fault> {
        let tell = RefCell::new(&mut self.tell);
        let shadows = RefCell::new(&mut self.shadows);
        let outcome = {
            let mut progress = |progress| (tell.borrow_mut())(Told::Progress(progress));
            let mut finding = |finding: Finding| {
                shadows.borrow_mut().found(&finding);
                (tell.borrow_mut())(found(finding, Some(layer), None));
            };
            let mut run = Run::new(self.scanner, None, &mut progress, &mut finding);
            let mut observe = |entry: &super::stream::tar::Entry, path: &[u8]| {
                shadows.borrow_mut().entry(entry, path);
            };
            let outcome = run.layer(stream, self.key, &mut observe, &mut self.summary);
            run.end(&self.summary);
            outcome
        };
        let (effects, overflowed) = shadows.into_inner().end_layer(layer);
        let tell = tell.into_inner();
        for effect in effects {
            tell(Told::Shadow(effect));
        }
        if overflowed {
            self.summary.problem(ProblemKind::Shadows, b"", None);
        }
        outcome?;
        // What follows the last entry belongs to the digest.
        let mut scratch = [0; 16 << 10];
        while super::stream::fill(stream, &mut scratch)? > 0 {}
        Ok(())
    }
}

/// A stream whose digest is wanted.
struct Hashed<'r> {
    inner: &'r mut dyn Stream,
    hash: Sha256,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl Stream for Hashed<'_> {
    fn skip(&mut self, count: u64) -> Result<(), Fault> {
        skip_by_reading(self, count)
    }
}
