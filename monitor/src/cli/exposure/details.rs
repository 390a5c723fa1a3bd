//! One exposure in full, for `exposure PATH` and `explain`.

use crate::cli::tone::{Entry, reader};
use crate::model::Exposure;

/// An exposure as lines of a table of two columns.
pub(in crate::cli) fn rows(exposure: &Exposure) -> Vec<Vec<Entry>> {
    let row = |name: &str, entry: Entry| vec![Entry::plain(name), entry];
    let gate = |gate: &crate::model::Gate| format!("{} ({:o})", gate.path.display(), gate.mode & 0o7777);
    let mut rows = vec![
        row("readable by", Entry::readers([exposure])),
        row("exposed to", Entry::exposed(&exposure.exposed_to)),
    ];
    rows.extend(
        exposure
            .closed_by
            .iter()
            .map(|one| row("closed by", Entry::plain(gate(one)))),
    );
    rows.extend(
        exposure
            .opened_by
            .iter()
            .map(|one| row("opened by", Entry::plain(gate(one)))),
    );
    if let Some(cause) = &exposure.cause {
        let cve = cause.cve.as_ref().map_or(String::new(), |cve| format!("{cve}: "));
        rows.push(row("because", Entry::plain(format!("{cve}{}", cause.text))));
    }
    rows.extend(
        exposure
            .remedy
            .iter()
            .map(|one| row("close it with", Entry::outside(one))),
    );
    rows.extend(exposure.bypasses.iter().map(|one| {
        let equal = if one.root_equivalent {
            " (root's equal)"
        } else {
            ""
        };
        let text = format!(
            "{}{equal} by {} {}",
            reader(&one.reader),
            one.by.as_str(),
            one.via
        );
        row("also", Entry::plain(text))
    }));
    rows.extend(
        exposure
            .uncertain
            .iter()
            .map(|one| row("uncertain", Entry::outside(one))),
    );
    if !exposure.security_modules.is_empty() {
        let modules = exposure.security_modules.join(", ");
        rows.push(row("may still deny", Entry::plain(modules)));
    }
    rows
}
