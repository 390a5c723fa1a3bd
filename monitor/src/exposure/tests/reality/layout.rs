//! What a layout is: the directories to a file, and what is to be said of them.

use crate::model::Reader;

/// A directory or, for the last of a layout, the file: name, mode, owner and group.
pub(super) type Step = (&'static str, u32, u32, u32);

pub(super) struct Layout {
    pub(super) name: &'static str,
    pub(super) steps: &'static [Step],
    /// What of the root is made beside the way.
    pub(super) beside: &'static str,
    /// A default list on the directory above, as it is when the engine makes its directories.
    pub(super) default_list: bool,
    pub(super) owner: u32,
    /// Name of the opening component, its vulnerability, and who besides owner and root's equals reads.
    pub(super) opened: Option<(&'static str, Option<&'static str>)>,
    pub(super) exposed: &'static [Reader],
}

pub(super) const PLAIN: Layout = Layout {
    name: "",
    steps: &[],
    beside: "",
    default_list: false,
    owner: 0,
    opened: None,
    exposed: &[],
};
pub(super) const ANN: Reader = Reader::User { uid: 1000 };
pub(super) const ROOTS_GROUP: Reader = Reader::Group { gid: 0 };
