//! How much of everything a snapshot holds, for metrics and the log.
//!
//! Invariant: counts only; no name leaves here. Called by `task`.

use crate::knowledge::Knowledge;
use crate::model::{Driver, StoreId};
use crate::telemetry::Inventory;

/// The counts of a snapshot; findings in image configurations count as findings too.
pub(super) fn of(knowledge: &Knowledge) -> Inventory {
    let parts = knowledge.parts();
    let driver_of = |store: &StoreId| {
        knowledge
            .store(store)
            .map_or(Driver::Overlay, |store| store.driver.counted())
    };
    let mut inventory = Inventory {
        unscanned: knowledge.unscanned().fold(0, |count, _| count + 1),
        ..Inventory::default()
    };
    for store in &parts.stores {
        *inventory.stores.entry(store.driver.counted()).or_default() += 1;
        *inventory.unlisted.entry(store.driver.counted()).or_default() += store.unlisted;
    }
    for store in &parts.stores {
        inventory.leftovers += store.leftovers.count;
        inventory.leftover_bytes += store.leftovers.bytes;
    }
    for layer in &parts.layers {
        *inventory.layers.entry(driver_of(&layer.key.store)).or_default() += 1;
    }
    for image in &parts.images {
        *inventory.images.entry(driver_of(&image.store)).or_default() += 1;
    }
    let files = knowledge
        .distinct_findings()
        .map(|known| (&known.finding, &known.exposure));
    let in_configs = parts.configs.iter().flat_map(|config| {
        let findings = config.findings.iter();
        findings.map(|finding| (finding, &config.exposure))
    });
    for (finding, exposure) in files.chain(in_configs) {
        *inventory.findings.entry(finding.severity).or_default() += 1;
        if exposure
            .as_ref()
            .is_some_and(|exposure| !exposure.exposed_to.is_empty())
        {
            *inventory.exposed.entry(finding.severity).or_default() += 1;
        }
    }
    for known in &parts.verdicts {
        *inventory.provenance.entry(known.verdict.provenance).or_default() += 1;
    }
    inventory
}
