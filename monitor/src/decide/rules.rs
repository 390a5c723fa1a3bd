//! The table of rules: which alert, when, why it matters, what to do.
//!
//! Invariant: data; the first row whose condition holds decides, and the last row always holds. In `why` and `remedy`
//! the words in braces are filled in by `report::fill`. `layerwatch rules` prints it.

use crate::correlate::Correlated;
use crate::model::AlertKind;

/// What becomes of an access that a rule applies to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Something to act on.
    Alert,
    /// Only recorded.
    Record,
}

/// One row.
#[derive(Debug)]
pub struct Rule {
    /// The alert's name.
    pub alert: AlertKind,
    /// Alerted or recorded.
    pub outcome: Outcome,
    /// The condition in words.
    pub when: &'static str,
    /// The condition.
    pub condition: fn(&Correlated) -> bool,
    /// Why it matters, one sentence.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// The rules, in the order in which they are tried.
pub static RULES: [Rule; 9] = [
    Rule {
        alert: AlertKind::RawDeviceRead,
        outcome: Outcome::Alert,
        when: "a subject that is not the host's root opened the block device or image file under a store",
        condition: Correlated::is_raw_device,
        why: "{user} {did} the device under an image store: every layer on it can be read past all file modes.",
        remedy: "Take the user out of group disk, or close the device or image file to others; treat what the store holds as read.",
    },
    Rule {
        alert: AlertKind::CacheApiAccess,
        outcome: Outcome::Alert,
        when: "a subject that is not the host's root reached an engine's socket, and within 30 seconds the engine read a finding",
        condition: |one| one.asker.is_some(),
        why: "{user} asked an engine at {socket}, and {engine} then {did} {what} in a cached image layer{others}: whoever may ask the engine gets what it reads.",
        remedy: "Replace the secret; see whether the user needs the engine's socket (group docker is root's equal).",
    },
    Rule {
        alert: AlertKind::CacheApiAccess,
        outcome: Outcome::Record,
        when: "a subject that is not the host's root reached an engine's socket",
        condition: Correlated::is_connection,
        why: "{user} connected to the socket of a container engine.",
        remedy: "None is needed if the user is meant to be root's equal.",
    },
    Rule {
        alert: AlertKind::ForeignContainerRead,
        outcome: Outcome::Alert,
        when: "a process in a container touched a finding that is not part of its own root file system",
        condition: |one| one.is_sensitive() && one.assessment.sighting.actor.container.is_some(),
        why: "Container {container} {did} {what} outside its own root file system, as uid {uid}: it reaches into the host's image storage.",
        remedy: "Replace the secret; find out by which host path or mount the container reaches the storage, and remove it.",
    },
    Rule {
        alert: AlertKind::ForeignStoreRead,
        outcome: Outcome::Alert,
        when: "a user other than the owner touched a finding in a rootless store",
        condition: |one| one.is_sensitive() && is_foreign_store(one),
        why: "{user} {did} {what} in the rootless store of uid {owner}: the store is open to other users.",
        remedy: "Replace the secret; close the owner's home directory or store to other users.",
    },
    Rule {
        alert: AlertKind::SensitiveLayerRead,
        outcome: Outcome::Alert,
        when: "a subject that is not the host's root touched a file with a finding, by any path",
        condition: |one| one.is_sensitive() && one.assessment.attribution.is_some(),
        why: "{user} {did} {what} in a cached image layer: whoever reads it can use it.",
        remedy: "Replace the secret; build the image without it.",
    },
    Rule {
        alert: AlertKind::SensitiveLayerRead,
        outcome: Outcome::Alert,
        when: "the same, and the file was gone from the stores before it could be looked up",
        condition: Correlated::is_sensitive,
        why: "{user} {did} a file that was watched for a finding and has left the image storage since.",
        remedy: "See which images were removed at that time; treat the secrets reported for them as read.",
    },
    Rule {
        alert: AlertKind::LayerContentRead,
        outcome: Outcome::Record,
        when: "the layer stayed unknown, or unscanned, until the deadline",
        condition: |one| one.unknown.is_some(),
        why: "{user} {did} a file below an image store that no scan had covered in time: it may hold a secret.",
        remedy: "See why the layer is not scanned (`layerwatch layers`, `layerwatch doctor`).",
    },
    Rule {
        alert: AlertKind::LayerContentRead,
        outcome: Outcome::Record,
        when: "a subject that is not the host's root opened other content of a layer",
        condition: |_| true,
        why: "{user} {did} ordinary content of a cached image layer from the store.",
        remedy: "None is needed unless the image is private.",
    },
];

/// The rule that decides.
pub(super) fn first_that_applies(correlated: &Correlated) -> &'static Rule {
    let [.., last] = &RULES;
    RULES
        .iter()
        .find(|rule| (rule.condition)(correlated))
        .unwrap_or(last)
}

fn is_foreign_store(correlated: &Correlated) -> bool {
    let assessment = &correlated.assessment;
    let owner = assessment.attribution.as_ref().map(|found| found.store_owner_uid);
    owner.is_some_and(|owner| owner != 0 && owner != assessment.sighting.subject.uid)
}
