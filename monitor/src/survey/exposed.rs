//! What is exposed, by store and opening component: the states behind the alert `SensitiveLayerExposed`.
//!
//! Invariant: pure; one state per store and component, whatever the number of findings, so that one `chmod` is one alert.
//! A finding whose opening component is not known counts under the store's root. Called by `task`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::knowledge::Knowledge;
use crate::model::{ExposedReport, Exposure, Finding, Means, Reader, Severity, StoreId};

/// Images that are named.
const MAX_IMAGES: usize = 5;

/// The states, by store and component.
pub(super) type Exposed = BTreeMap<(StoreId, PathBuf), ExposedReport>;

/// What of a snapshot is exposed.
pub(super) fn of(knowledge: &Knowledge) -> Exposed {
    let mut exposed = Gathering::default();
    let parts = knowledge.parts();
    for known in &parts.findings {
        let Some(layer) = known.finding.place.layer() else {
            continue;
        };
        let names = knowledge
            .images_of(layer)
            .filter_map(|image| image.names.first().cloned());
        exposed.add(
            knowledge,
            &layer.store,
            known.exposure.as_ref(),
            &known.finding,
            names,
        );
    }
    for blob in &parts.blobs {
        let names: Vec<String> = knowledge
            .images_of(&blob.layer)
            .filter_map(|image| image.names.first().cloned())
            .collect();
        for known in knowledge.findings_in(&blob.layer) {
            exposed.add(
                knowledge,
                &blob.layer.store,
                blob.exposure.as_ref(),
                &known.finding,
                names.iter().cloned(),
            );
        }
    }
    for config in &parts.configs {
        let images = parts.images.iter();
        let of_config = images.filter(|image| image.store == config.store && image.id == config.image);
        let names: Vec<String> = of_config
            .filter_map(|image| image.names.first().cloned())
            .collect();
        for finding in &config.findings {
            exposed.add(
                knowledge,
                &config.store,
                config.exposure.as_ref(),
                finding,
                names.iter().cloned(),
            );
        }
    }
    exposed.done()
}

/// What begins, and what ends, between two snapshots; one whose severity or readers changed does both.
pub(super) fn changes<'a>(
    old: &'a Exposed,
    new: &'a Exposed,
) -> (Vec<&'a ExposedReport>, Vec<&'a ExposedReport>) {
    let is_same = |one: &ExposedReport, other: &ExposedReport| {
        one.severity == other.severity && one.exposed_to == other.exposed_to
    };
    let missing_in = |from: &'a Exposed, in_other: &'a Exposed| {
        let entries = from.iter();
        let changed =
            entries.filter(move |(key, one)| !in_other.get(*key).is_some_and(|other| is_same(one, other)));
        changed.map(|(_, one)| one).collect()
    };
    (missing_in(new, old), missing_in(old, new))
}

/// A report, with all readers and images so far.
type Gathered = (ExposedReport, BTreeSet<Reader>, BTreeSet<String>);

#[derive(Default)]
struct Gathering {
    found: BTreeMap<(StoreId, PathBuf), Gathered>,
}

impl Gathering {
    fn add(
        &mut self,
        knowledge: &Knowledge,
        store: &StoreId,
        exposure: Option<&Exposure>,
        finding: &Finding,
        images: impl Iterator<Item = String>,
    ) {
        let Some(exposure) = exposure.filter(|exposure| !exposure.exposed_to.is_empty()) else {
            return;
        };
        let Some(engine) = knowledge.store(store).map(|store| store.engine) else {
            return;
        };
        let root = || {
            knowledge
                .store(store)
                .map(|store| store.root.clone())
                .unwrap_or_default()
        };
        let mut component = exposure
            .opened_by
            .as_ref()
            .map_or_else(root, |gate| gate.path.clone());
        // No component of a path: it is called by its address.
        let is_open = exposure.opened_by.is_none() && !exposure.is_world();
        let mut ports = exposure.bypasses.iter().filter(|one| one.by == Means::ApiPort);
        if let Some(port) = ports.next().filter(|_| is_open) {
            component = PathBuf::from(&port.via);
        }
        let key = (store.clone(), component.clone());
        let (report, readers, names) = self.found.entry(key).or_insert_with(|| {
            let report = ExposedReport {
                store: store.clone(),
                engine,
                component,
                exposed_to: Vec::new(),
                findings: 0,
                severity: Severity::Info,
                images: Vec::new(),
                cve: exposure.cause.as_ref().and_then(|cause| cause.cve.clone()),
                cause: exposure.cause.as_ref().map(|cause| cause.text.clone()),
                remedy: exposure.remedy.clone(),
                security_modules: exposure.security_modules.clone(),
            };
            (report, BTreeSet::new(), BTreeSet::new())
        });
        report.findings += 1;
        report.severity = report.severity.max(finding.severity);
        readers.extend(exposure.exposed_to.iter().cloned());
        names.extend(images);
    }

    fn done(self) -> Exposed {
        let reports = self.found.into_iter().map(|(key, (report, readers, names))| {
            let report = ExposedReport {
                exposed_to: readers.into_iter().collect(),
                images: names.into_iter().take(MAX_IMAGES).collect(),
                ..report
            };
            (key, report)
        });
        reports.collect()
    }
}
