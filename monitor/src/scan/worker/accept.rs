//! What the agent believes of a worker's answer.
//!
//! Invariant: title, category, severity and confidence come from the agent's own table; a path stays below its layer;
//! every text is bounded and printable. An answer that breaks any of this is refused as a whole. Pure.

use std::collections::BTreeSet;

use super::protocol::{WireFinding, WirePlace};
use crate::model::{Finding, ImageId, LayerKey, Place, StoreId, text};
use crate::scan::engine::judged_path;
use crate::scan::redact::{FINGERPRINT_DIGITS, MAX_EXCERPT};
use crate::scan::rules::RuleSet;
use crate::scan::shape::{MAX_IMAGES, MAX_LAYERS, Shape};
use crate::scan::summary::{MAX_PROBLEMS, ScanSummary};
use crate::scan::target::TargetFinding;

const MAX_PATH: usize = 40 << 10;
const MAX_TEXT: usize = 4 << 10;
const FIELDS: [&str; 8] = [
    "annotations",
    "Env",
    "Cmd",
    "Entrypoint",
    "Healthcheck",
    "OnBuild",
    "Labels",
    "history",
];

type Refusal = &'static str;

/// A finding in a file of the layer that was asked about.
pub(super) fn file_finding(
    rules: &RuleSet,
    wire: WireFinding,
    layer: Option<&LayerKey>,
) -> Result<Finding, Refusal> {
    let WirePlace::File {
        path,
        member,
        line,
        key,
        generation,
        ..
    } = &wire.place
    else {
        return Err("a finding in a configuration where a layer was asked about");
    };
    let path = text::unescape(path);
    let member = member.as_deref().map(text::unescape);
    if !is_below(&path) || member.as_deref().is_some_and(|member| !is_below(member)) {
        return Err("a path outside the layer");
    }
    let judged = judged_path(&path, member.as_deref());
    let place = Place::File {
        layer: layer.cloned(),
        path,
        member,
        line: *line,
        key: *key,
        generation: *generation,
    };
    let in_text = line.is_some();
    finding(rules, wire, place, (&judged, in_text))
}

/// A finding in a target: its layer or image is one of those that the target has.
pub(super) fn target_finding(
    rules: &RuleSet,
    wire: WireFinding,
    shape: Option<&Shape>,
) -> Result<TargetFinding, Refusal> {
    let Some(shape) = shape else {
        return Err("a finding before it is known what the target is");
    };
    let (layer, image) = match &wire.place {
        WirePlace::File { layer, .. } => (*layer, None),
        WirePlace::Config { image, .. } => (None, *image),
    };
    if !is_in(layer, shape.layers.len()) || !is_in(image, shape.images.len()) {
        return Err("a finding in a layer or image that the target has not");
    }
    let finding = match image {
        Some(_) => config_finding(rules, wire, &StoreId::new(""), &ImageId::new(""))?,
        None => file_finding(rules, wire, None)?,
    };
    Ok(TargetFinding {
        finding,
        layer,
        image,
        shadows: Vec::new(),
    })
}

/// What a target consists of: bounded, printable, and without a layer that is not there.
pub(super) fn shape(shape: Shape) -> Result<Shape, Refusal> {
    let layers = shape.layers.len();
    let is_good = layers <= MAX_LAYERS
        && shape.images.len() <= MAX_IMAGES
        && shape.layers.iter().all(|id| is_clean(id))
        && shape.images.iter().all(|image| {
            let mut numbers = image.layers.iter();
            image.names.len() <= MAX_IMAGES
                && image.names.iter().all(|name| is_clean(name))
                && is_clean(&image.id)
                && image.layers.len() <= MAX_LAYERS
                && numbers.all(|number| is_in(Some(*number), layers))
        });
    if is_good {
        Ok(shape)
    } else {
        Err("a target that is too large, not printable or does not fit together")
    }
}

/// The digest of a layer that was read.
pub(super) fn diff_id(id: &str) -> Result<&str, Refusal> {
    let digits = id.strip_prefix("sha256:").unwrap_or_default();
    if digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(id)
    } else {
        Err("something else than a digest")
    }
}

fn is_in(number: Option<u32>, length: usize) -> bool {
    number.is_none_or(|number| usize::try_from(number).is_ok_and(|number| number < length))
}

/// A path that stays below where it begins.
fn is_below(path: &[u8]) -> bool {
    path.len() <= MAX_PATH
        && !path.contains(&0)
        && path
            .split(|b| *b == b'/')
            .all(|c| !matches!(c, b"" | b"." | b".."))
}

/// A finding in the configuration of the image that was asked about.
pub(super) fn config_finding(
    rules: &RuleSet,
    wire: WireFinding,
    store: &StoreId,
    image: &ImageId,
) -> Result<Finding, Refusal> {
    let WirePlace::Config { field, name, .. } = &wire.place else {
        return Err("a finding in a file where a configuration was asked about");
    };
    if !FIELDS.contains(&field.as_str()) || !is_clean(name) {
        return Err("a place that no configuration has");
    }
    let place = Place::ImageConfig {
        store: store.clone(),
        image: image.clone(),
        field: field.clone(),
        name: name.clone(),
    };
    finding(rules, wire, place, (b"", true))
}

fn finding(
    rules: &RuleSet,
    wire: WireFinding,
    place: Place,
    (path, in_text): (&[u8], bool),
) -> Result<Finding, Refusal> {
    let rule = rules.get(&wire.rule).ok_or("a rule that the table has not")?;
    let digits = &wire.fingerprint.0;
    if digits.len() != FINGERPRINT_DIGITS || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("something else than a fingerprint");
    }
    if wire.excerpt.chars().count() > MAX_EXCERPT || !is_clean(&wire.excerpt) {
        return Err("an excerpt that is too long or not printable");
    }
    let distinct: BTreeSet<_> = wire.known.iter().collect();
    if distinct.len() != wire.known.len() || !wire.known.iter().all(|reason| reason.is_of_content()) {
        return Err("a reason that it cannot know");
    }
    let (severity, lowered) = rule.severity_at(path, in_text, &wire.known);
    Ok(Finding {
        rule: rule.id.clone(),
        title: rule.title.clone(),
        category: rule.category,
        severity,
        lowered,
        confidence: rule.confidence,
        place,
        fingerprint: wire.fingerprint,
        excerpt: wire.excerpt,
    })
}

/// A summary with a bounded list of printable problems.
pub(super) fn summary(summary: ScanSummary) -> Result<ScanSummary, Refusal> {
    let is_good =
        summary.problems.len() <= MAX_PROBLEMS && summary.problems.iter().all(|p| is_clean(&p.path));
    if is_good {
        Ok(summary)
    } else {
        Err("problems that are too many or not printable")
    }
}

/// Text as `text::printable` gives it, which may be cut in the middle of an escape.
fn is_clean(shown: &str) -> bool {
    shown.len() <= MAX_TEXT
        && shown
            .split('\\')
            .all(|part| text::printable(part.as_bytes()).to_string() == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DevIno, Fingerprint, KernelDev, LayerId, LoweredBy, RuleId, Severity};

    fn wire() -> WireFinding {
        WireFinding {
            rule: RuleId::new("private-key-pem"),
            place: WirePlace::File {
                path: "etc/a\\xff.key".to_owned(),
                member: None,
                layer: None,
                line: Some(1),
                key: DevIno {
                    dev: KernelDev(1),
                    ino: 2,
                },
                generation: 3,
            },
            known: Vec::new(),
            fingerprint: Fingerprint("0123456789abcdef01234567".to_owned()),
            excerpt: "-----BEGIN PRIVATE KEY-----****".to_owned(),
        }
    }

    fn with_path(path: &str) -> WireFinding {
        let mut changed = wire();
        if let WirePlace::File { path: place, .. } = &mut changed.place {
            path.clone_into(place);
        }
        changed
    }

    #[test]
    fn what_a_worker_says_of_itself_is_replaced_by_what_the_table_says() {
        let rules = RuleSet::builtin().unwrap();
        let layer = LayerKey {
            store: StoreId::new("s"),
            layer: LayerId::new("l"),
        };
        let finding = file_finding(&rules, wire(), Some(&layer)).unwrap();
        assert_eq!(finding.severity, Severity::Critical);
        let Place::File { path, layer: of, .. } = finding.place else {
            panic!("a file was reported");
        };
        assert_eq!((path.as_slice(), of), (&b"etc/a\xff.key"[..], Some(layer)));
        let lowered = file_finding(&rules, with_path("usr/share/doc/x/examples/a.key"), None).unwrap();
        assert_eq!(lowered.severity, Severity::High);
    }

    #[test]
    fn what_a_worker_may_not_say_is_refused() {
        let rules = RuleSet::builtin().unwrap();
        let changed = |change: fn(&mut WireFinding)| {
            let mut changed = wire();
            change(&mut changed);
            changed
        };
        for (name, lie) in [
            ("rule", changed(|w| w.rule = RuleId::new("no-such-rule"))),
            (
                "fingerprint",
                changed(|w| w.fingerprint = Fingerprint("hunter2".to_owned())),
            ),
            (
                "a place as what is known",
                changed(|w| w.known = vec![LoweredBy::Place]),
            ),
            (
                "one reason twice",
                changed(|w| w.known = vec![LoweredBy::Package; 2]),
            ),
            ("long excerpt", changed(|w| w.excerpt = "x".repeat(121))),
            (
                "excerpt with escape code",
                changed(|w| w.excerpt = "\u{1b}[31m".to_owned()),
            ),
            (
                "excerpt with line break",
                changed(|w| w.excerpt = "a\nb".to_owned()),
            ),
            ("absolute path", with_path("/etc/shadow")),
            ("path upwards", with_path("a/../../etc/shadow")),
            ("escaped path upwards", with_path("\\x2e\\x2e/x")),
            ("NUL in a path", with_path("a\\x00b")),
            ("empty path", with_path("")),
            ("endless path", with_path(&"a/".repeat(40_000))),
        ] {
            assert!(file_finding(&rules, lie, None).is_err(), "{name}");
        }
        assert!(config_finding(&rules, wire(), &StoreId::new("s"), &ImageId::new("i")).is_err());
    }
}
