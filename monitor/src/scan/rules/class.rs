//! Path classes: what a file is by its name, before a byte of it is read.
//!
//! A pattern is a list of path components; `*` stands for any bytes within one. With a leading slash it must match the
//! whole path below the layer's root, without one its end. Invariant: at most 256 classes, so that a set of them is four
//! words; a look-up costs three hash probes and the few patterns whose last component begins as the name does, or with `*`.

use std::collections::{BTreeMap, HashMap};

use super::RuleError;

/// A set of path classes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::scan) struct ClassSet([u64; WORDS]);

const WORDS: usize = 4;
const MAX_CLASSES: usize = 64 * WORDS;

impl ClassSet {
    /// The set of the class with that number, if there can be one.
    fn one(number: usize) -> Option<Self> {
        let mut set = Self::default();
        *set.0.get_mut(number / 64)? |= 1 << (number % 64);
        Some(set)
    }

    pub(in crate::scan) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(in crate::scan) fn meets(self, other: Self) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }

    fn union(mut self, other: Self) -> Self {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        self
    }
}

#[derive(Debug)]
struct Pattern {
    /// From the last component to the first.
    components: Vec<Vec<u8>>,
    anchored: bool,
    class: ClassSet,
}

/// The table's path classes, indexed by the last component of their patterns.
#[derive(Debug, Default)]
pub(in crate::scan) struct PathClasses {
    names: BTreeMap<String, ClassSet>,
    by_name: HashMap<Vec<u8>, Vec<Pattern>>,
    by_extension: HashMap<Vec<u8>, Vec<Pattern>>,
    /// By the first byte of the last component, where that is no `*`.
    by_first: HashMap<u8, Vec<Pattern>>,
    others: Vec<Pattern>,
}

impl PathClasses {
    pub(super) fn new(raw: &BTreeMap<String, Vec<String>>) -> Result<Self, RuleError> {
        let mut classes = Self::default();
        for (name, patterns) in raw {
            let class = ClassSet::one(classes.names.len()).ok_or_else(|| RuleError::Lint {
                id: name.clone(),
                what: format!("more than {MAX_CLASSES} path classes"),
            })?;
            classes.names.insert(name.clone(), class);
            for pattern in patterns {
                classes.add(pattern.as_bytes(), class);
            }
        }
        Ok(classes)
    }

    fn add(&mut self, text: &[u8], class: ClassSet) {
        let (anchored, rest) = text.strip_prefix(b"/").map_or((false, text), |rest| (true, rest));
        let components: Vec<Vec<u8>> = rest.rsplit(|b| *b == b'/').map(<[u8]>::to_vec).collect();
        let last = components.first().cloned().unwrap_or_default();
        let pattern = Pattern {
            components,
            anchored,
            class,
        };
        match last.strip_prefix(b"*.") {
            _ if !last.contains(&b'*') => self.by_name.entry(last).or_default().push(pattern),
            Some(extension) if !extension.iter().any(|b| matches!(b, b'*' | b'.')) => {
                self.by_extension
                    .entry(extension.to_vec())
                    .or_default()
                    .push(pattern);
            }
            _ => match last.first() {
                Some(first) if *first != b'*' => self.by_first.entry(*first).or_default().push(pattern),
                _ => self.others.push(pattern),
            },
        }
    }

    /// The named classes, or which name is unknown.
    pub(super) fn set(&self, names: &[String]) -> Result<ClassSet, String> {
        names.iter().try_fold(ClassSet::default(), |set, name| {
            let class = self
                .names
                .get(name)
                .ok_or_else(|| format!("unknown path class {name:?}"))?;
            Ok(set.union(*class))
        })
    }

    /// The class of that name; the empty set if the table has none.
    pub(in crate::scan) fn named(&self, name: &str) -> ClassSet {
        self.names.get(name).copied().unwrap_or_default()
    }

    /// The classes of a path below a layer's root.
    pub(in crate::scan) fn of(&self, path: &[u8]) -> ClassSet {
        let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let extension = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
        let by_name = self.by_name.get(name).into_iter().flatten();
        let by_extension = self.by_extension.get(extension).into_iter().flatten();
        let by_first = name.first().and_then(|first| self.by_first.get(first));
        by_name
            .chain(by_extension)
            .chain(by_first.into_iter().flatten())
            .chain(&self.others)
            .filter(|pattern| pattern.matches(path))
            .fold(ClassSet::default(), |set, pattern| set.union(pattern.class))
    }
}

impl Pattern {
    fn matches(&self, path: &[u8]) -> bool {
        let mut components = path.rsplit(|b| *b == b'/');
        let all = self
            .components
            .iter()
            .all(|pattern| components.next().is_some_and(|c| glob(pattern, c)));
        all && (!self.anchored || components.next().is_none())
    }
}

/// Whether `*`-pattern `pattern` matches all of `text`; linear, with one backtrack point.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|b| *b == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = find(rest, part) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gets_the_classes_whose_patterns_match_its_end_or_all_of_it() {
        for (pattern, path, matches) in [
            ("id_rsa", "root/.ssh/id_rsa", true),
            (".ssh/id_*", "root/.ssh/id_rsa", true),
            (".ssh/id_*", ".ssh/id_ed25519", true),
            (".ssh/id_*", "root/ssh/id_rsa", false),
            (".ssh/id_*", "root/.ssh/x/id_rsa", false),
            ("/etc/shadow", "etc/shadow", true),
            ("/etc/shadow", "backup/etc/shadow", false),
            ("/etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_rsa_key", true),
            ("/etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_rsa_key.pub", false),
            ("*.p12", "srv/a.p12", true),
            ("*.p12", "srv/p12", false),
            ("*.tar.gz", "a.tar.gz", true),
            (".env*", ".env.local", true),
            ("*", "anything\n\u{fe}", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("a*a", "a", false),
        ] {
            let table = BTreeMap::from([("x".to_owned(), vec![pattern.to_owned()])]);
            let classes = PathClasses::new(&table).unwrap();
            let found = classes.of(path.as_bytes());
            assert_eq!(found.meets(classes.named("x")), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn one_class_more_than_fits_is_refused() {
        let table = |n: usize| {
            (0..n)
                .map(|i| (format!("c{i}"), Vec::new()))
                .collect::<BTreeMap<_, _>>()
        };
        assert!(PathClasses::new(&table(MAX_CLASSES)).is_ok());
        assert!(PathClasses::new(&table(MAX_CLASSES + 1)).is_err());
    }
}
