//! Scans a layer that is not unpacked: its blob, as `layerwatch scan` scans one that lies anywhere.
//!
//! Invariant: a finding's inode is the blob's, since that is what a reader opens; its path is that inside the layer. Nothing
//! is kept of it: the result of the unpacked layer has other inodes. Called by `Survey`.

use std::time::Duration;

use crate::model::{Finding, Layer, Place};
use crate::scan::{LayerScan, Progress, ScanError, ScanWorker, TargetRequest, TargetScan};

/// Scans the blob; the findings are the layer's.
pub(super) async fn scan(
    worker: &mut ScanWorker,
    layer: &Layer,
    deadline: Duration,
) -> Result<LayerScan, ScanError> {
    let request = TargetRequest {
        path: layer.content.clone(),
        deadline,
    };
    let mut scan = TargetScan::default();
    worker
        .scan_target(request, &mut scan, &mut |_: Progress| ())
        .await?;
    let findings = scan
        .findings
        .into_iter()
        .map(|found| of_layer(found.finding, layer));
    Ok(LayerScan {
        findings: findings.collect(),
        summary: scan.summary.unwrap_or_default(),
    })
}

fn of_layer(mut finding: Finding, layer: &Layer) -> Finding {
    if let Place::File { layer: of, .. } = &mut finding.place {
        *of = Some(layer.key.clone());
    }
    finding
}
