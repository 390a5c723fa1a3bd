//! Types are called by the field's nouns; a word that fits everything says nothing.

use super::Finding;
use super::source::{Source, first_word, line_at, words};

const EMPTY_SUFFIXES: [&str; 6] = ["Manager", "Handler", "Helper", "Util", "Utils", "Data"];

/// Types whose name ends in a word without meaning.
pub(super) fn of_types(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for keyword in ["struct ", "enum ", "trait ", "union ", "type "] {
            for at in words(&source.code, keyword) {
                let name = first_word(source.code.get(at + keyword.len()..).unwrap_or_default());
                if let Some(suffix) = EMPTY_SUFFIXES.iter().find(|suffix| name.ends_with(*suffix)) {
                    let what = format!("{name}: a type is no {suffix}, it has a name of the field");
                    findings.push(Finding::new(source, line_at(&source.code, at), what));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_words_are_found_at_the_end_of_a_type() {
        let check = |text: &str, expected: &[&str]| {
            let findings = of_types(&[Source::new("a.rs", text)]);
            let found: Vec<_> = findings.iter().map(|finding| first_word(&finding.what)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("struct Layer;", &[]);
        check("pub(crate) struct LayerManager<'a> {}", &["LayerManager"]);
        check(
            "enum EventData {}\ntrait PathUtil {}\ntype JsonHelper = u8;",
            &["EventData", "PathUtil", "JsonHelper"],
        );
        check("struct Database; struct Manageress; fn data(x: Data) {}", &[]);
        check("// struct XManager", &[]);
    }
}
