//! The component that an engine keeps closed and that is open, and the command that closes it.
//!
//! Invariant: a gate is named only when closing it takes readers away. The modes are those that containers/storage
//! gives its directories in every release (storage/store.go, drivers/overlay/overlay.go), and Docker since 20.10.9
//! (`daemon/daemon_unix.go`, daemon/graphdriver/overlay2/overlay.go). Called by `of_path`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::readers::readers_of;
use super::way::{Component, Way};
use crate::model::Reader;
use crate::model::text::printable;

/// A layout of a store below its root: the directory that tells it, and the mode of it and of its neighbours.
struct Layout {
    /// The name of the directory below the store's root.
    home: &'static str,
    /// What the directory two levels below it is called, if that tells the layout.
    below: Option<&'static str>,
    /// The mode of the root, of the home and of each entry of it.
    mode: u32,
}

const LAYOUTS: &[Layout] = &[
    Layout {
        home: "overlay",
        below: Some("diff"),
        mode: 0o700,
    },
    Layout {
        home: "overlay2",
        below: Some("diff"),
        mode: 0o710,
    },
    Layout {
        home: "overlay-images",
        below: None,
        mode: 0o700,
    },
    Layout {
        home: "overlay-layers",
        below: None,
        mode: 0o700,
    },
];

/// A component that should be closed further.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened<'a> {
    pub(super) component: &'a Component,
    /// The mode that the engine gives it.
    mode: u32,
}

/// The first gate whose closing leaves nobody, else the first whose closing leaves fewer.
pub(super) fn opened_by<'a>(way: &'a Way, readers: &[Reader]) -> Option<Opened<'a>> {
    if readers.is_empty() {
        return None;
    }
    let left_by = |index: usize, mode: u32| {
        let mut closed = way.clone();
        if let Some(component) = closed.components.get_mut(index) {
            *component = component.with_mode(mode);
        }
        readers_of(&closed).readers
    };
    let (first, mode) = gates(way)?;
    let gates = (first..first + 3).filter_map(|index| Some((index, way.components.get(index)?)));
    let open = gates.filter(|(_, gate)| gate.mode & 0o777 & !mode != 0);
    let closing: Vec<_> = open
        .map(|(index, gate)| (gate, left_by(index, mode)))
        .filter(|(_, left)| left != readers)
        .collect();
    let best = closing
        .iter()
        .find(|(_, left)| left.is_empty())
        .or(closing.first());
    best.map(|(gate, _)| Opened {
        component: gate,
        mode,
    })
}

/// The command that closes a gate.
pub(super) fn remedy(gate: Opened<'_>) -> String {
    format!("chmod {:o} {}", gate.mode, shell_quoted(&gate.component.path))
}

/// Where the gates begin (the store's root) and which mode they should have.
fn gates(way: &Way) -> Option<(usize, u32)> {
    let name = |index: usize| {
        way.components
            .get(index)
            .and_then(|component| component.path.file_name())
    };
    LAYOUTS.iter().find_map(|layout| {
        let home = (2..way.components.len()).find(|index| {
            let is_home = name(*index) == Some(OsStr::new(layout.home));
            is_home
                && layout
                    .below
                    .is_none_or(|below| name(*index + 2) == Some(OsStr::new(below)))
        })?;
        Some((home - 1, layout.mode))
    })
}

/// A path as one word of a POSIX shell; bytes that are no plain text come in `$'…'`.
fn shell_quoted(path: &Path) -> String {
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
