//! Path classes: what a file is by its name, before a byte of it is read.
//!
//! A pattern is a list of path components; `*` stands for any bytes within one. With a leading slash it must match the
//! whole path below the layer's root, without one its end. Invariant: at most 256 classes, so that a set of them is four
//! words; a look-up costs three hash probes and the few patterns whose last component begins or ends as the name does.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

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
    by_name: ByText,
    by_extension: ByText,
    /// By the component before the last, where the last is `*`.
    by_parent: ByText,
    /// By the first byte of the last component, where that is no `*`.
    by_first: ByByte,
    /// By the last byte, where only that is no `*`.
    by_last: ByByte,
    others: Vec<Pattern>,
}

type ByText = HashMap<Vec<u8>, Vec<Pattern>, BuildHasherDefault<Fnv>>;
type ByByte = BTreeMap<u8, Vec<Pattern>>;

/// FNV-1a: the names of a table that is fixed are hashed, once for each file, and nobody can add one.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_usize(&mut self, _length: usize) {
        // A slice's length, which what was hashed tells too.
    }
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
        let parent = pattern.components.get(1).filter(|parent| !parent.contains(&b'*'));
        let (first, end) = (last.first().copied(), last.last().copied());
        let place = match (last.strip_prefix(b"*."), first, end) {
            _ if !last.contains(&b'*') => self.by_name.entry(last).or_default(),
            (Some(extension), _, _) if !extension.iter().any(|b| matches!(b, b'*' | b'.')) => {
                self.by_extension.entry(extension.to_vec()).or_default()
            }
            (_, Some(first), _) if first != b'*' => self.by_first.entry(first).or_default(),
            (_, _, Some(end)) if end != b'*' => self.by_last.entry(end).or_default(),
            _ if last == b"*" && parent.is_some() => {
                let parent = parent.cloned().unwrap_or_default();
                self.by_parent.entry(parent).or_default()
            }
            _ => &mut self.others,
        };
        place.push(pattern);
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
        let mut components = path.rsplit(|b| *b == b'/');
        let name = components.next().unwrap_or_default();
        let parent = components.next().unwrap_or_default();
        let extension = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
        [
            self.by_name.get(name),
            self.by_extension.get(extension),
            self.by_parent.get(parent),
            name.first().and_then(|first| self.by_first.get(first)),
            name.last().and_then(|last| self.by_last.get(last)),
            Some(&self.others),
        ]
        .into_iter()
        .flatten()
        .flatten()
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
            ("raddb/*", "etc/raddb/users", true),
            ("raddb/*", "etc/raddb/x/users", false),
            ("raddb/*", "raddb", false),
            ("a*/*", "abc/users", true),
            ("*-confg", "tftp/r1-confg", true),
            ("*-confg", "tftp/r1-config", false),
            ("*kickstart*", "srv/my-kickstart.cfg", true),
            ("/etc/samba/*cred*", "etc/samba/my.credentials", true),
            ("/etc/samba/*cred*", "srv/etc/samba/my.credentials", false),
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
