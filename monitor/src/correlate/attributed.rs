//! What watched files were attributed to, so that a file that is read again and again is looked up and described once.
//!
//! Invariant: pure and bounded; what is remembered is what `attribute` says of the same file by the same snapshots, and is
//! forgotten with them. Only of files that the kernel watches themselves: there the answer depends on nothing but the file
//! and its generation. Used by `Correlator`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::attribute::{Unattributed, attribute};
use crate::knowledge::Knowledge;
use crate::model::{Access, Attribution, DevIno, WatchMatch};

/// Files that are remembered; when there are more, all are looked up anew.
const MOST: usize = 4096;

type Answer = Result<Arc<Attribution>, Unattributed>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Attributed {
    files: HashMap<(DevIno, u32), Answer>,
}

impl Attributed {
    /// Forgets everything: the snapshots are others.
    pub(super) fn forget(&mut self) {
        self.files.clear();
    }

    /// By the newest snapshot; a watched file that it no longer has is looked up in the one before.
    pub(super) fn of(&mut self, access: &Access, newest: &Knowledge, previous: &Knowledge) -> Answer {
        if access.matched == WatchMatch::Directory {
            return attribute(access, newest).map(Arc::new);
        }
        if self.files.len() >= MOST {
            self.forget();
        }
        let look_up = || {
            attribute(access, newest)
                .or_else(|reason| attribute(access, previous).map_err(|_older| reason))
                .map(Arc::new)
        };
        let file = (access.file, access.generation);
        self.files.entry(file).or_insert_with(look_up).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::frames::{Scene, key};

    #[test]
    fn a_file_is_described_once_for_each_generation_until_the_snapshots_change() {
        let scene = Scene::new();
        let (knowledge, none) = (scene.knowledge(), Knowledge::default());
        let mut attributed = Attributed::default();
        let mut of = |access: &Access, newest: &Knowledge| attributed.of(access, newest, &none);
        let access = scene.access();
        let first = of(&access, &knowledge).unwrap();
        assert_eq!(*first, attribute(&access, &knowledge).unwrap());
        assert!(Arc::ptr_eq(&first, &of(&access, &knowledge).unwrap()));
        let mut reused = scene.access();
        reused.generation += 1;
        assert_eq!(of(&reused, &knowledge), Err(Unattributed::NoStoreFile));
        // Still the old answer, for the snapshots are said to be the same.
        assert!(of(&access, &none).is_ok());
        attributed.forget();
        assert_eq!(
            attributed.of(&access, &none, &none),
            Err(Unattributed::NoStoreFile)
        );
    }

    #[test]
    fn it_is_bounded() {
        let knowledge = Scene::new().knowledge();
        let mut attributed = Attributed::default();
        let mut access = Scene::new().access();
        let mut known = 0;
        for ino in 0..2 * u64::try_from(MOST).unwrap() {
            access.file = key(ino);
            known += usize::from(attributed.of(&access, &knowledge, &knowledge).is_ok());
        }
        assert_eq!(known, 1);
        assert!(attributed.files.len() <= MOST);
    }

    #[test]
    fn what_a_directory_proves_depends_on_the_path_and_is_not_remembered() {
        let mut scene = Scene::new();
        scene.ordinary("/storage/overlay/l1/diff/usr/bin/tool");
        let knowledge = scene.knowledge();
        let mut attributed = Attributed::default();
        let path = |scene: &Scene, attributed: &mut Attributed| {
            attributed
                .of(&scene.access(), &knowledge, &knowledge)
                .unwrap()
                .path
                .clone()
        };
        assert_eq!(path(&scene, &mut attributed), Some(b"usr/bin/tool".to_vec()));
        scene.path("/storage/overlay/l1/diff/etc/motd");
        assert_eq!(path(&scene, &mut attributed), Some(b"etc/motd".to_vec()));
        assert!(attributed.files.is_empty());
    }
}
