//! The table of keys as documentation, and as a commented file that sets every key to its default.
//!
//! Invariant: pure functions of the table. `docs/configuration.md` and `deploy/config.toml` are their output, and a test
//! compares them; `UPDATE_DOCS=1` makes that test write them instead.

use super::{DEFAULT_FILE, KEYS, Kind};

const LINE: usize = 110;

/// `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = format!(
        "# Configuration\n\n\
         <!-- Made from the table in monitor/src/config/keys.rs: UPDATE_DOCS=1 cargo test -p layerwatch config -->\n\n\
         The agent reads `{DEFAULT_FILE}`, or the file that `--config` names. A value comes from the first of these that\n\
         has it: the command line, the variable, the file, the default. An unknown key is an error that names the\n\
         nearest known one. `layerwatch check-config` says whether a file is good, `layerwatch config show` where each\n\
         value comes from. In a variable a list is separated by commas and a table is written `name=text,name=text`.\n\
         Secrets are never written here: a key that ends in `_file` names the file that holds one.\n"
    );
    let mut section = None;
    for key in KEYS {
        let (name, _) = key.section();
        if section != Some(name) {
            section = Some(name);
            let title = if name.is_empty() {
                "Top level".to_owned()
            } else {
                format!("`[{name}]`")
            };
            write_line(
                &mut out,
                &format!("\n## {title}\n\n| key | takes | default | meaning |\n|---|---|---|---|"),
            );
        }
        let row = format!(
            "| `{}`<br>`{}` | {} | `{}` | {} |",
            key.name,
            key.variable(),
            key.kind.to_string().replace('"', "`"),
            key.default,
            key.meaning
        );
        write_line(&mut out, &row);
    }
    out
}

/// `deploy/config.toml`: every key with its meaning, set to its default.
pub fn example() -> String {
    let mut out = String::from(
        "# Layerwatch's configuration with every key at its default: delete what you do not change.\n\
         # Flags and LAYERWATCH_* variables come before this file; docs/configuration.md says more.\n\n",
    );
    let mut section = "";
    for key in KEYS {
        let (name, last) = key.section();
        if section != name {
            section = name;
            write_line(&mut out, &format!("\n[{name}]"));
        }
        for line in wrap(&comment(key.meaning, key.kind)) {
            write_line(&mut out, &format!("# {line}"));
        }
        write_line(&mut out, &format!("{last} = {}", key.default));
    }
    out
}

fn comment(meaning: &str, kind: Kind) -> String {
    match kind {
        Kind::Choice(_) => format!("{meaning} It takes {kind}."),
        Kind::Text | Kind::Path | Kind::Flag | Kind::Count | Kind::Duration | Kind::List | Kind::Labels => {
            meaning.to_owned()
        }
    }
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < LINE => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn write_line(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}
