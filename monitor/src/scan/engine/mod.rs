//! The scanner: a directory or an image configuration in, findings out.
//!
//! `walk` meets the entries, `run` reads each of them and unpacks archives, `read` is one fixed buffer, `gate` says what
//! kind of file it is, `prefilter` finds literals in one pass, `search` runs a rule's expression and validation around a hit and keeps what stands.
//!
//! Invariant: memory is bounded whatever a layer holds; one bad entry costs itself only. Runs in the scan worker and in
//! `layerwatch scan`; never in the event plane.

mod encoded;
mod gate;
mod identity;
mod location;
mod prefilter;
mod read;
mod run;
mod search;
mod source;
#[cfg(test)]
mod tests;
mod walk;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::error::ScanError;
use super::redact::FingerprintKey;
use super::rules::{ClassSet, RuleError, RuleSet};
use super::summary::{Progress, ScanSummary};
use crate::model::{DevIno, Finding, KernelDev, LayerKey, LoweredBy, Place};
use gate::FileKind;
#[cfg(any(test, fuzzing))]
pub(super) use identity::read_records;
pub(super) use location::judged_path;
use prefilter::Prefilter;
pub(super) use read::{FileFault, of_file};
pub(super) use run::Run;
use search::{Kept, Search};

/// Findings of one layer that are handed out; the rest are counted as a problem.
pub(super) const MAX_LAYER_FINDINGS: usize = 10_000;
/// Descriptors a scan needs: one for each level of directories, the standard ones, a file and room.
pub(super) const MAX_OPEN_FILES: u64 = walk::MAX_DEPTH as u64 + 32;

/// Rules made ready to run, with the key that fingerprints are made with.
#[derive(Debug)]
pub struct Scanner {
    rules: RuleSet,
    prefilter: Prefilter,
    key: FingerprintKey,
}

impl Scanner {
    /// Builds the automata of a rule set.
    pub fn new(rules: RuleSet, key: FingerprintKey) -> Result<Self, RuleError> {
        let prefilter = Prefilter::new(rules.rules())?;
        Ok(Self {
            rules,
            prefilter,
            key,
        })
    }

    /// The rules it runs.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Scans everything below `root`, which may be hostile: no link is followed and no mount is entered.
    ///
    /// Findings come in the order of the walk; `layer` is copied into them. Only an unreadable root is an error.
    pub fn scan_directory(
        &self,
        root: &Path,
        layer: Option<&LayerKey>,
        progress: &mut dyn FnMut(Progress),
        found: &mut dyn FnMut(Finding),
    ) -> Result<ScanSummary, ScanError> {
        let directory = open_root(root)?;
        Ok(self.scan_open_directory(&directory, layer, progress, found))
    }

    /// As [`Self::scan_directory`], but only if `root` still has that inode.
    pub(super) fn scan_expected_directory(
        &self,
        root: &Path,
        expected: Option<DevIno>,
        layer: Option<&LayerKey>,
        progress: &mut dyn FnMut(Progress),
        found: &mut dyn FnMut(Finding),
    ) -> Result<ScanSummary, ScanError> {
        let directory = open_root(root)?;
        let stat = rustix::fs::fstat(&directory).map_err(|errno| root_error(root, errno))?;
        if expected.is_some_and(|expected| expected != inode(&stat)) {
            return Err(ScanError::RootChanged {
                root: root.to_owned(),
            });
        }
        Ok(self.scan_open_directory(&directory, layer, progress, found))
    }

    fn scan_open_directory(
        &self,
        directory: &OwnedFd,
        layer: Option<&LayerKey>,
        progress: &mut dyn FnMut(Progress),
        found: &mut dyn FnMut(Finding),
    ) -> ScanSummary {
        let mut findings = Vec::new();
        let summary = self.walk_directory(directory, layer, progress, &mut |finding| findings.push(finding));
        self.lower_shipped(directory, &mut findings);
        findings.into_iter().for_each(found);
        summary
    }

    /// Lowers what lies in files that a package of the same layer ships as they are.
    fn lower_shipped(&self, directory: &OwnedFd, findings: &mut [Finding]) {
        let path_of = |finding: &Finding| match &finding.place {
            Place::File { path, member, .. } => (path.clone(), judged_path(path, member.as_deref())),
            Place::ImageConfig { .. } => (Vec::new(), Vec::new()),
        };
        let paths = findings.iter().map(|finding| path_of(finding).0).collect();
        let shipped = identity::shipped(directory.as_fd(), &paths);
        for finding in findings {
            let (path, judged) = path_of(finding);
            let Some(rule) = self.rules.get(&finding.rule).filter(|_| shipped.contains(&path)) else {
                continue;
            };
            let in_text = matches!(finding.place, Place::File { line: Some(_), .. });
            let mut known: Vec<LoweredBy> = finding
                .lowered
                .iter()
                .copied()
                .filter(|r| r.is_of_content())
                .collect();
            known.push(LoweredBy::Package);
            (finding.severity, finding.lowered) = rule.severity_at(&judged, in_text, &known);
        }
    }

    fn walk_directory(
        &self,
        directory: &OwnedFd,
        layer: Option<&LayerKey>,
        progress: &mut dyn FnMut(Progress),
        found: &mut dyn FnMut(Finding),
    ) -> ScanSummary {
        let mut run = Run::new(self, layer, progress, found);
        let mut summary = ScanSummary::default();
        walk::walk(directory.as_fd(), &mut summary, &mut |entry, summary| {
            run.file(entry, summary);
        });
        run.end(&summary);
        summary
    }

    /// The rules that match in a file of that path and content, by number; `muted` is left out.
    pub(super) fn scan_bytes(&self, path: &[u8], content: &[u8], muted: Option<usize>) -> Vec<Kept> {
        let classes = self.rules.classes().of(path);
        let kind = gate::kind(content, self.config_class(), classes);
        let mut search = Search::new(self, classes, kind).without(muted);
        search.buffer(content, 0, content.len(), true);
        search.finish().kept
    }

    /// The same in a text of an image configuration.
    pub(super) fn scan_text_without(&self, text: &[u8], muted: Option<usize>) -> Vec<Kept> {
        let mut search = Search::new(self, ClassSet::default(), FileKind::Image).without(muted);
        search.buffer(text, 0, text.len(), true);
        search.finish().kept
    }

    /// The findings in a text of an image configuration.
    pub(super) fn scan_text(&self, text: &[u8]) -> Vec<Kept> {
        self.scan_text_without(text, None)
    }

    /// What a kept match becomes outside.
    pub(super) fn finding(&self, kept: Kept, place: Place, path: &[u8]) -> Option<Finding> {
        let rule = self.rules.rules().get(kept.rule)?;
        let known = kept.known.as_slice();
        let (severity, lowered) = rule.severity_at(path, kept.line.is_some(), known);
        Some(Finding {
            rule: rule.id.clone(),
            title: rule.title.clone(),
            category: rule.category,
            severity,
            lowered,
            confidence: rule.confidence,
            place,
            fingerprint: kept.fingerprint,
            excerpt: kept.excerpt,
        })
    }
}

impl Scanner {
    fn config_class(&self) -> ClassSet {
        self.rules.classes().named("config")
    }
}

fn open_root(root: &Path) -> Result<OwnedFd, ScanError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| root_error(root, errno))
}

fn root_error(root: &Path, errno: rustix::io::Errno) -> ScanError {
    ScanError::Root {
        root: root.to_owned(),
        source: errno.into(),
    }
}

/// The inode that a stat describes.
pub(super) fn inode(stat: &rustix::fs::Stat) -> DevIno {
    DevIno {
        dev: KernelDev::from_stat(stat.st_dev),
        ino: stat.st_ino,
    }
}
