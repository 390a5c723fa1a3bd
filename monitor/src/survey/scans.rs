//! What has been scanned, what failed and how often.
//!
//! Invariant: a result belongs to a layer key and goes when the layer goes; a layer that failed `ATTEMPTS` times is left
//! alone until its store drops it, and stays unscanned, which the event plane reports. Owned by `Survey`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::model::{Finding, ImageId, LayerKey, StoreId};
use crate::scan::{LayerScan, ScanError};

/// How often a scan is tried.
const ATTEMPTS: u32 = 3;

/// The findings of each scanned layer.
pub(super) type LayerFindings = BTreeMap<LayerKey, Arc<[Finding]>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scans {
    layers: LayerFindings,
    images: BTreeMap<(StoreId, ImageId), Vec<Finding>>,
    failed_layers: BTreeMap<LayerKey, u32>,
    failed_images: BTreeMap<(StoreId, ImageId), u32>,
}

impl Scans {
    /// Forgets what is not in the catalog any more, what was on a device that has been unmounted since `previous`: the
    /// next mount has other numbers, and what a build has used since, if it may have changed it.
    pub(super) fn retain(&mut self, previous: &Catalog, catalog: &Catalog) {
        let stays = |key: &LayerKey| {
            catalog.layer(key).is_some_and(|layer| {
                let before = previous.layer(key);
                let content = before.map(|layer| layer.content_key);
                let is_same = layer.device.is_none() || content == Some(layer.content_key);
                let reused = layer.build_cache.filter(|cache| cache.work.is_reused());
                let was_used = before.and_then(|layer| layer.build_cache);
                is_same && reused.is_none_or(|cache| was_used.is_none_or(|was| was == cache))
            })
        };
        self.layers.retain(|key, _| stays(key));
        self.failed_layers.retain(|key, _| stays(key));
        let known = |(store, id): &(StoreId, ImageId)| {
            catalog
                .images
                .iter()
                .any(|image| image.store == *store && image.id == *id)
        };
        self.images.retain(|key, _| known(key));
        self.failed_images.retain(|key, _| known(key));
    }

    pub(super) fn wants_layer(&self, key: &LayerKey) -> bool {
        !self.layers.contains_key(key) && self.failed_layers.get(key).is_none_or(|count| *count < ATTEMPTS)
    }

    pub(super) fn wants_image(&self, store: &StoreId, image: &ImageId) -> bool {
        let key = (store.clone(), image.clone());
        !self.images.contains_key(&key) && self.failed_images.get(&key).is_none_or(|count| *count < ATTEMPTS)
    }

    pub(super) fn layer_done(
        &mut self,
        key: &LayerKey,
        result: Result<LayerScan, ScanError>,
    ) -> Result<(), ScanError> {
        match result {
            Ok(scan) => {
                self.layers.insert(key.clone(), scan.findings.into());
                Ok(())
            }
            Err(error) => {
                *self.failed_layers.entry(key.clone()).or_default() += 1;
                Err(error)
            }
        }
    }

    pub(super) fn image_done(
        &mut self,
        store: &StoreId,
        image: &ImageId,
        result: Result<Vec<Finding>, ScanError>,
    ) -> Result<(), ScanError> {
        let key = (store.clone(), image.clone());
        match result {
            Ok(findings) => {
                self.images.insert(key, findings);
                Ok(())
            }
            Err(error) => {
                *self.failed_images.entry(key).or_default() += 1;
                Err(error)
            }
        }
    }

    /// The findings by layer; cheap to clone.
    pub(super) fn layers(&self) -> LayerFindings {
        self.layers.clone()
    }

    /// The findings in image configurations.
    pub(super) fn images(&self) -> &BTreeMap<(StoreId, ImageId), Vec<Finding>> {
        &self.images
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LayerId;
    use crate::scan::ScanSummary;

    fn key(layer: &str) -> LayerKey {
        LayerKey {
            store: StoreId::new("overlay@/s"),
            layer: LayerId::new(layer),
        }
    }

    fn scanned() -> Result<LayerScan, ScanError> {
        let scan = LayerScan {
            findings: Vec::new(),
            summary: ScanSummary::default(),
        };
        Some(scan).ok_or_else(|| ScanError::Deadline {
            subject: String::new(),
            seconds: 0,
        })
    }

    fn failed() -> Result<LayerScan, ScanError> {
        Err(ScanError::Deadline {
            subject: "layer a".to_owned(),
            seconds: 1,
        })
    }

    #[test]
    fn a_layer_is_wanted_until_it_is_scanned_or_has_failed_too_often() {
        type Results = [fn() -> Result<LayerScan, ScanError>];
        let rows: [(&Results, bool); 5] = [
            (&[], true),
            (&[scanned], false),
            (&[failed, failed], true),
            (&[failed, failed, failed], false),
            (&[failed, scanned], false),
        ];
        for (results, wanted) in rows {
            let mut scans = Scans::default();
            for result in results {
                let result = result();
                let ok = result.is_ok();
                assert_eq!(scans.layer_done(&key("a"), result).is_ok(), ok);
            }
            assert_eq!(scans.wants_layer(&key("a")), wanted, "{} results", results.len());
        }
    }

    #[test]
    fn what_left_the_catalog_is_forgotten_failures_too() {
        let mut scans = Scans::default();
        scans.layer_done(&key("a"), scanned()).unwrap();
        for _ in 0..ATTEMPTS {
            scans.layer_done(&key("b"), failed()).unwrap_err();
        }
        scans.retain(&Catalog::default(), &Catalog::default());
        assert!(scans.layers().is_empty());
        assert!(scans.wants_layer(&key("a")) && scans.wants_layer(&key("b")));
    }
}
