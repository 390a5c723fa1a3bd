//! docs/performance.md and docs/accuracy.md: what is between two marks is generated, the rest is written by hand.

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{files, say};

pub(super) const PERFORMANCE: &str = "docs/performance.md";
pub(super) const ACCURACY: &str = "docs/accuracy.md";
const END: &str = "<!-- end -->\n";

/// Puts a section's new text into the page, where `UPDATE_DOCS` asks for it.
pub(super) fn update(workspace: &Workspace, page: &str, section: &str, text: &str) -> Result<()> {
    if std::env::var_os("UPDATE_DOCS").is_none() {
        return Ok(());
    }
    let path = workspace.root.join(page);
    let old = files::read_text(&path)?;
    let new = replaced(&old, section, text).with_context(|| format!("{page} has no section {section}"))?;
    files::write_if_changed(&path, new.as_bytes())?;
    say::progress(&format!("bench: {page}, section {section}"));
    Ok(())
}

fn replaced(page: &str, section: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(&format!("<!-- {section} -->\n"))?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}<!-- {section} -->\n{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_is_replaced() {
        let page = "a\n<!-- x -->\nold\n<!-- end -->\nb\n<!-- y -->\n<!-- end -->\n";
        let check = |section: &str, expected: Option<&str>| {
            assert_eq!(replaced(page, section, "new\n").as_deref(), expected);
        };
        check(
            "x",
            Some("a\n<!-- x -->\nnew\n<!-- end -->\nb\n<!-- y -->\n<!-- end -->\n"),
        );
        check(
            "y",
            Some("a\n<!-- x -->\nold\n<!-- end -->\nb\n<!-- y -->\nnew\n<!-- end -->\n"),
        );
        check("z", None);
    }
}
