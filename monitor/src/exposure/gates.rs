//! The component that an engine keeps closed and that is open, why it is, and the command that closes it.
//!
//! Invariant: a gate is named only when closing it takes readers away. `layouts` says how the engines keep their
//! directories. Called by `Surroundings`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::layouts::{self, Gatekeeping};
use super::readers::readers_of;
use super::way::{Component, Way};
use crate::catalog::Host;
use crate::model::text::printable;
use crate::model::{Cause, Gate, Reader};

/// A component that should be closed further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) gate: Gate,
    /// The command that closes it.
    pub(super) remedy: String,
    pub(super) cause: Option<Cause>,
}

/// How a gate can be closed.
struct Closing {
    /// The component closed.
    closed: Component,
    remedy: String,
}

/// The first gate whose closing leaves nobody but the `owner`, else the first whose closing leaves fewer.
pub(super) fn opened_by(host: &Host, way: &Way, readers: &[Reader], owner: u32) -> Option<Opened> {
    let strangers = |readers: &[Reader]| readers.iter().filter(|one| !is_owner(one, owner)).count();
    if strangers(readers) == 0 {
        return None;
    }
    let keeping = layouts::of(host, way)?;
    let left_by = |index: usize, closed: &Component| {
        let mut way = way.clone();
        if let Some(component) = way.components.get_mut(index) {
            component.clone_from(closed);
        }
        readers_of(&way).readers
    };
    let gates = keeping.modes.iter().zip(keeping.first..);
    let gates = gates.filter_map(|(mode, index)| Some((index, way.components.get(index)?, *mode)));
    let closings = gates.flat_map(|(index, gate, mode)| {
        let ways = closings(gate, mode, owner).into_iter();
        ways.map(move |closing| (index, gate, closing))
    });
    let mut fewer = None;
    for (index, gate, closing) in closings {
        let left = left_by(index, &closing.closed);
        if left == readers {
            continue;
        }
        let opened = || opened(&keeping, index, gate, &closing);
        if strangers(&left) == 0 {
            return Some(opened());
        }
        fewer.get_or_insert_with(opened);
    }
    fewer
}

fn opened(keeping: &Gatekeeping, index: usize, gate: &Component, closing: &Closing) -> Opened {
    Opened {
        gate: gate.gate(),
        remedy: closing.remedy.clone(),
        cause: (keeping.cause)(index - keeping.first, gate),
    }
}

fn is_owner(reader: &Reader, owner: u32) -> bool {
    owner != 0 && *reader == Reader::User { uid: owner }
}

/// By its mode; without its list; by its owner, who could open it again.
fn closings(gate: &Component, mode: u32, owner: u32) -> Vec<Closing> {
    let path = shell_quoted(&gate.path);
    let kept = gate.mode & mode;
    let mut closings = Vec::new();
    if gate.mode & 0o777 & !mode != 0 {
        closings.push(Closing {
            closed: gate.with_mode(kept),
            remedy: format!("chmod {kept:o} {path}"),
        });
    }
    if gate.acl.is_some() {
        closings.push(Closing {
            closed: gate.without_list(kept),
            remedy: format!("setfacl -b {path} && chmod {kept:o} {path}"),
        });
    }
    if gate.uid != 0 && gate.uid != owner {
        let closed = Component {
            uid: owner,
            ..gate.with_mode(kept)
        };
        closings.push(Closing {
            closed,
            remedy: format!("chown {owner} {path} && chmod {kept:o} {path}"),
        });
    }
    closings
}

/// A path as one word of a POSIX shell; bytes that are no plain text come in `$'…'`.
pub(super) fn shell_quoted(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+:@%=,".contains(b);
    if bytes.iter().all(plain) {
        return printable(bytes).to_string();
    }
    let text = printable(bytes).to_string();
    if text.as_bytes() == bytes {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let escape = |b: &u8| match b {
        b if plain(b) || *b == b' ' => char::from(*b).to_string(),
        b => format!("\\{b:03o}"),
    };
    format!("$'{}'", bytes.iter().map(escape).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_path_is_one_word_that_the_shell_reads_back() {
        for (path, quoted) in [
            (&b"/var/lib/containers/storage"[..], "/var/lib/containers/storage"),
            (b"/a b", "'/a b'"),
            (b"/it's", r"'/it'\''s'"),
            (b"/$(reboot);`x`", "'/$(reboot);`x`'"),
            (b"/a\nb'\\c", r"$'/a\012b\047\134c'"),
            (b"/\xff\x1b[m", r"$'/\377\033\133m'"),
            ("/é".as_bytes(), "'/é'"),
            ("/\u{202e}x".as_bytes(), r"$'/\342\200\256x'"),
        ] {
            let word = shell_quoted(Path::new(OsStr::from_bytes(path)));
            assert_eq!(word, quoted);
            let script = format!("printf %s {word}");
            let back = std::process::Command::new("bash")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(back.stdout, path, "{quoted}");
        }
    }
}
