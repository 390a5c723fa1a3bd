//! One run over a layer: each file is searched, archives in it are unpacked one level deep.
//!
//! Invariant: the buffers are made once per run; what one file or one archive does wrong is counted and the rest is
//! scanned; an archive in an archive is searched as it lies there and counted. Made by `Scanner` for a directory and by
//! `archive` for a layer in an image archive.

use std::io::Read;

use super::location::{Location, judged_path, stem, usable_name};
use super::read::{self, FileBuffer, FileFault};
use super::search::{Kept, Search};
use super::source::{Source, Streamed};
use super::{MAX_LAYER_FINDINGS, Scanner, gate, walk};
use crate::model::{DevIno, Finding, LayerKey, Place};
use crate::scan::stream::decode::decoder;
use crate::scan::stream::limit::{Count, Limit};
use crate::scan::stream::peek::{Peeked, Plain};
use crate::scan::stream::tar::{Entry, Kind, Tar};
use crate::scan::stream::zip::{Packing, Zip};
use crate::scan::stream::{Fault, Magic, Stream, magic};
use crate::scan::summary::{ProblemKind, Progress, ScanSummary, SkipReason};

const PROGRESS_BYTES: u64 = 32 << 20;
const PROGRESS_FILES: u64 = 2_000;
/// The least file that can be an archive with something in it.
const LEAST_ARCHIVE: u64 = 20;
/// Marks a deletion (OCI image spec, layer.md, "Whiteouts").
const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// See the module.
pub(in crate::scan) struct Run<'a> {
    scanner: &'a Scanner,
    layer: Option<&'a LayerKey>,
    buffer: FileBuffer,
    findings: usize,
    reported: Progress,
    progress: &'a mut dyn FnMut(Progress),
    found: &'a mut dyn FnMut(Finding),
}

impl<'a> Run<'a> {
    pub(in crate::scan) fn new(
        scanner: &'a Scanner,
        layer: Option<&'a LayerKey>,
        progress: &'a mut dyn FnMut(Progress),
        found: &'a mut dyn FnMut(Finding),
    ) -> Self {
        Self {
            scanner,
            layer,
            buffer: FileBuffer::new(),
            findings: 0,
            reported: Progress::default(),
            progress,
            found,
        }
    }

    /// Tells how far it came at the end.
    pub(in crate::scan) fn end(&mut self, summary: &ScanSummary) {
        (self.progress)(progress_of(summary));
    }

    /// One file of a directory.
    pub(super) fn file(&mut self, entry: &walk::Entry<'_>, summary: &mut ScanSummary) {
        match read::open(entry) {
            Ok(opened) => self.opened(&opened, entry.path, summary),
            Err(FileFault { kind, errno }) => summary.problem(kind, entry.path, errno),
        }
    }

    /// An open file that is known under `path`.
    pub(in crate::scan) fn opened(&mut self, opened: &read::Opened, path: &[u8], summary: &mut ScanSummary) {
        if opened.size == 0 {
            return summary.skip(SkipReason::Empty);
        }
        let location = Location {
            path,
            member: None,
            key: opened.key,
            file: Some(opened),
        };
        let head = self.buffer.begin(opened);
        let already = head.len();
        let known = magic(head).filter(|_| opened.size >= LEAST_ARCHIVE);
        summary.files += 1;
        if let Some(known) = known {
            let before = summary.members;
            let read = Count::default();
            if let Err(fault) = self.unpack(known, &mut opened.section(&read), &location, summary) {
                summary.problem(fault.problem(), path, fault.errno());
            }
            // What only looks like an archive is a file like any other.
            if summary.members == before {
                self.content(&location, &mut &*opened, 0, summary);
            }
        } else {
            self.content(&location, &mut &*opened, already, summary);
        }
        self.tell(summary);
    }

    /// The entries of a layer that is a tar; `observe` hears of each before it is read, with its path below the root.
    pub(in crate::scan) fn layer(
        &mut self,
        stream: &mut dyn Stream,
        key: DevIno,
        observe: &mut dyn FnMut(&Entry, &[u8]),
        summary: &mut ScanSummary,
    ) -> Result<(), Fault> {
        let mut tar = Tar::new(stream);
        while let Some(entry) = tar.next()? {
            let path = usable_name(&entry.name, entry.cut, None, summary);
            observe(&entry, &path);
            if Self::counts(&entry, &path, summary) {
                summary.files += 1;
                let location = Location {
                    path: &path,
                    member: None,
                    key,
                    file: None,
                };
                self.stream(&mut tar.content(), &location, summary)?;
            }
            self.tell(summary);
        }
        Ok(())
    }

    /// A file of a layer that comes as a stream.
    fn stream(
        &mut self,
        content: &mut dyn Stream,
        location: &Location<'_>,
        summary: &mut ScanSummary,
    ) -> Result<(), Fault> {
        let mut peeked = Peeked::new(content)?;
        let Some(known) = magic(peeked.head()) else {
            self.content(location, &mut Streamed::new(&mut peeked), 0, summary);
            return Ok(());
        };
        let before = summary.members;
        let outcome = self.unpack(known, &mut peeked, location, summary);
        if let Err(fault) = outcome {
            summary.problem(fault.problem(), location.path, fault.errno());
        }
        // What only looks like an archive is a file like any other, as far as it was not consumed.
        if summary.members == before {
            peeked.rewind();
            self.content(location, &mut Streamed::new(&mut peeked), 0, summary);
        }
        Ok(())
    }

    /// What an archive in a layer holds.
    fn unpack(
        &mut self,
        known: Magic,
        packed: &mut dyn Stream,
        location: &Location<'_>,
        summary: &mut ScanSummary,
    ) -> Result<(), Fault> {
        let read = Count::default();
        match known {
            Magic::Tar => self.tar_members(packed, location, summary),
            Magic::Zip => self.zip_members(packed, location, summary),
            Magic::Gzip | Magic::Zstd => {
                let Some(mut unpacked) = decoder(known, packed, &read, Limit::MEMBER)? else {
                    return Ok(());
                };
                let mut peeked = Peeked::new(&mut *unpacked)?;
                if magic(peeked.head()) == Some(Magic::Tar) {
                    return self.tar_members(&mut peeked, location, summary);
                }
                let name = stem(location.path);
                self.member(&mut peeked, name, location, summary);
                Ok(())
            }
        }
    }

    fn tar_members(
        &mut self,
        stream: &mut dyn Stream,
        location: &Location<'_>,
        summary: &mut ScanSummary,
    ) -> Result<(), Fault> {
        let mut tar = Tar::new(stream);
        while let Some(entry) = tar.next()? {
            let name = usable_name(&entry.name, entry.cut, Some(location.path), summary);
            if Self::counts(&entry, &name, summary) {
                self.member(&mut Peeked::new(&mut tar.content())?, &name, location, summary);
            }
        }
        Ok(())
    }

    fn zip_members(
        &mut self,
        packed: &mut dyn Stream,
        location: &Location<'_>,
        summary: &mut ScanSummary,
    ) -> Result<(), Fault> {
        let read = Count::default();
        let mut zip = Zip::new(packed, &read);
        while let Some(member) = zip.next()? {
            let name = usable_name(&member.name, member.cut, Some(location.path), summary);
            if member.packing == Packing::Unread {
                summary.problem(
                    ProblemKind::Archive,
                    &judged_path(location.path, Some(&name)),
                    None,
                );
            }
            let take = |content: &mut (dyn Read + Send)| -> Result<(), Fault> {
                if !member.is_directory {
                    let mut plain = Plain::new(content);
                    self.member(&mut Peeked::new(&mut plain)?, &name, location, summary);
                }
                Ok(())
            };
            zip.content(&member, Limit::MEMBER, take)?.transpose()?;
        }
        Ok(())
    }

    /// One file of an archive: searched as it is, also if it is an archive again.
    fn member(
        &mut self,
        content: &mut Peeked<'_>,
        name: &[u8],
        archive: &Location<'_>,
        summary: &mut ScanSummary,
    ) {
        if magic(content.head()).is_some() {
            summary.skip(SkipReason::NestedArchive);
        }
        summary.members += 1;
        let location = Location {
            member: Some(name),
            ..*archive
        };
        self.content(&location, &mut Streamed::new(content), 0, summary);
        self.tell(summary);
    }

    /// Whether an entry of a tar is a file to read; everything else is counted.
    fn counts(entry: &Entry, path: &[u8], summary: &mut ScanSummary) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let reason = match entry.kind {
            Kind::Directory => return false,
            Kind::File if name.starts_with(WHITEOUT_PREFIX) => SkipReason::Whiteout,
            Kind::File if entry.size == 0 => SkipReason::Empty,
            Kind::File => return true,
            Kind::HardLink => SkipReason::HardLink,
            Kind::Symlink => SkipReason::Symlink,
            Kind::CharacterDevice { is_null: true } => SkipReason::Whiteout,
            Kind::CharacterDevice { is_null: false } | Kind::BlockDevice => SkipReason::Device,
            Kind::Fifo => SkipReason::Fifo,
            Kind::Other => SkipReason::OtherEntry,
        };
        summary.skip(reason);
        false
    }

    /// Searches one content, of which the buffer has the first bytes already.
    fn content(
        &mut self,
        location: &Location<'_>,
        source: &mut dyn Source,
        already: usize,
        summary: &mut ScanSummary,
    ) {
        let judged = location.judged();
        let classes = self.scanner.rules.classes().of(&judged);
        let scanner = self.scanner;
        let begin = |head: &[u8]| {
            let kind = gate::kind(head, scanner.config_class(), classes);
            Search::new(scanner, classes, kind)
        };
        let before = progress_of(summary);
        let (reported, progress) = (&mut self.reported, &mut *self.progress);
        let outcome = self.buffer.scan(source, already, begin, &mut |bytes| {
            let now = Progress {
                bytes: before.bytes + bytes,
                ..before
            };
            if now.bytes.saturating_sub(reported.bytes) >= PROGRESS_BYTES {
                *reported = now;
                progress(now);
            }
        });
        summary.bytes += outcome.bytes;
        if let Some(FileFault { kind, errno }) = outcome.fault {
            summary.problem(kind, &judged, errno);
        }
        if outcome.found.overflowed {
            summary.problem(ProblemKind::FileFindings, &judged, None);
        }
        for kept in outcome.found.kept {
            self.report(kept, location, &judged, summary);
        }
    }

    fn report(&mut self, kept: Kept, location: &Location<'_>, judged: &[u8], summary: &mut ScanSummary) {
        if self.findings >= MAX_LAYER_FINDINGS {
            return summary.problem(ProblemKind::LayerFindings, judged, None);
        }
        let place = Place::File {
            layer: self.layer.cloned(),
            path: location.path.to_vec(),
            member: location.member.map(<[u8]>::to_vec),
            line: kept.line,
            key: location.key,
            generation: location.file.map_or(0, read::Opened::generation),
        };
        if let Some(finding) = self.scanner.finding(kept, place, judged) {
            self.findings += 1;
            (self.found)(finding);
        }
    }

    fn tell(&mut self, summary: &ScanSummary) {
        let now = progress_of(summary);
        if now.bytes.saturating_sub(self.reported.bytes) >= PROGRESS_BYTES
            || now.files.saturating_sub(self.reported.files) >= PROGRESS_FILES
        {
            self.reported = now;
            (self.progress)(now);
        }
    }
}

fn progress_of(summary: &ScanSummary) -> Progress {
    Progress {
        files: summary.files + summary.members,
        bytes: summary.bytes,
    }
}
