//! What `find` looks for.
//!
//! Invariant: matching is total and takes time in proportion to pattern and name.

/// What is looked for: a name, or the end of a path; `*` and `?` stand for what they do in a shell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    /// Last one first.
    components: Vec<Vec<u8>>,
    /// The path begins where the layer does.
    anchored: bool,
}

impl Pattern {
    /// The pattern; `None` where it names nothing.
    pub fn new(text: &[u8]) -> Option<Self> {
        let components = text.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let components: Vec<Vec<u8>> = components.rev().map(<[u8]>::to_vec).collect();
        (!components.is_empty()).then(|| Self {
            components,
            anchored: text.first() == Some(&b'/'),
        })
    }

    /// Whether an entry `name` of the directory `above` (below the layer's root) is meant.
    pub(super) fn matches(&self, above: &[u8], name: &[u8]) -> bool {
        let Some((last, rest)) = self.components.split_first() else {
            return false;
        };
        if !glob(last, name) {
            return false;
        }
        let mut parts = above.rsplit(|byte| *byte == b'/').filter(|part| !part.is_empty());
        rest.iter()
            .all(|wanted| parts.next().is_some_and(|part| glob(wanted, part)))
            && (!self.anchored || parts.next().is_none())
    }
}

/// `*` for any bytes, `?` for one; linear but for what a star gives back.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        let wanted = pattern.get(at).copied();
        if wanted == Some(b'*') {
            star = Some((at, in_name));
            at += 1;
        } else if wanted.is_some() && (wanted == Some(b'?') || wanted == name.get(in_name).copied()) {
            at += 1;
            in_name += 1;
        } else if let Some((back, taken)) = star {
            star = Some((back, taken + 1));
            at = back + 1;
            in_name = taken + 1;
        } else {
            return false;
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_end_of_a_path() {
        for (pattern, above, name, matches) in [
            ("redhat-release", "etc", "redhat-release", true),
            ("redhat-release", "etc/redhat-release", "x", false),
            ("*-release", "etc", "redhat-release", true),
            ("*-release", "etc", "redhat-release2", false),
            ("r?dhat*", "", "redhat-release", true),
            ("etc/*-release", "etc", "os-release", true),
            ("etc/*-release", "usr/etc", "os-release", true),
            ("/etc/*-release", "usr/etc", "os-release", false),
            ("/etc/os-release", "etc", "os-release", true),
            ("etc/os-release", "", "os-release", false),
            ("a*b*c", "", "aXbYbZc", true),
            ("a*b*c", "", "aXbYbZ", false),
            ("*", "", "", true),
        ] {
            let found = Pattern::new(pattern.as_bytes())
                .unwrap()
                .matches(above.as_bytes(), name.as_bytes());
            assert_eq!(found, matches, "{pattern} {above}/{name}");
        }
        assert_eq!(Pattern::new(b"//"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_glob_ends(pattern in "[*?ab]{0,12}", name in "[ab]{0,40}") {
            let found = glob(pattern.as_bytes(), name.as_bytes());
            proptest::prop_assert!(found || pattern != "*");
        }
    }
}
