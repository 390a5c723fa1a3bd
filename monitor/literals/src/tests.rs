//! The search is compared with looking everywhere.

use proptest::prelude::*;

use super::*;

/// What must be found, by looking everywhere.
fn slowly(literals: &[Vec<u8>], any_case: bool, bytes: &[u8], limit: usize) -> Vec<(usize, usize)> {
    let mut hits = Vec::new();
    for start in 0..limit.min(bytes.len()) {
        for (number, literal) in literals.iter().enumerate() {
            let found = bytes.get(start..start + literal.len());
            if found.is_some_and(|found| found == literal || any_case && found.eq_ignore_ascii_case(literal))
            {
                hits.push((start, number));
            }
        }
    }
    hits
}

fn check(literals: &[&str], any_case: bool, bytes: &[u8], limit: usize) {
    let literals: Vec<Vec<u8>> = literals.iter().map(|l| l.as_bytes().to_vec()).collect();
    let mut hits = Vec::new();
    let found = Literals::new(literals.clone(), any_case);
    found.each(bytes, limit, &mut |start, number| hits.push((start, number)));
    assert_eq!(hits, slowly(&literals, any_case, bytes, limit));
}

#[test]
fn every_occurrence_is_told_wherever_it_stands() {
    let text = b"----BEGIN ghp_ghp_ AKIAAKIA -----BEGIN x st. PASSword passwordpassword st.";
    for shift in 0..40 {
        let bytes = [&vec![b'.'; PART_BYTES - shift][..], text].concat();
        for limit in [bytes.len(), bytes.len() - 5, PART_BYTES, 0] {
            check(
                &["-----BEGIN ", "----BEGIN ", "ghp_", "AKIA"],
                false,
                &bytes,
                limit,
            );
            check(&["password", "pass", "st.", "begin x"], true, &bytes, limit);
            check(&["st.", "AKIA"], false, &bytes, limit);
        }
    }
    check(&[], false, text, text.len());
    check(&["abc"], true, b"ab", 2);
    check(&["abc", "abcd"], true, b"zabc", 4);
}

proptest! {
    #[test]
    fn it_finds_what_looking_everywhere_finds(
        literals in proptest::collection::btree_set("[abA_]{3,7}", 0..12),
        bytes in "[abAB_]{0,300}",
        any_case: bool,
        limit in 0_usize..310,
    ) {
        let literals: std::collections::BTreeSet<String> = literals
            .into_iter()
            .map(|l| if any_case { l.to_ascii_lowercase() } else { l })
            .collect();
        let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
        check(&literals, any_case, bytes.as_bytes(), limit);
    }
}
