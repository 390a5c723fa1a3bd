//! Lines to columns, columns to the page and back.

use super::column::Cell;
use super::page::release;
use super::*;

fn lines(lines: &[&str]) -> Lines {
    let mut all = Lines::default();
    for line in lines {
        all.push(line);
    }
    all
}

#[test]
fn lines_become_a_column() {
    assert_eq!(lines(&[]).column("6.1").unwrap(), None);
    let column = lines(&["B\tread\tseen\t", "B\texecve\tunseen\tNo."]).column("6.1");
    let cell = |word: &str, reason: &str| Cell {
        word: word.into(),
        reason: reason.into(),
    };
    let expected = Column {
        name: "6.1 B".into(),
        cells: vec![
            ("read".into(), cell("seen", "")),
            ("execve".into(), cell("unseen", "No.")),
        ],
    };
    assert_eq!(column.unwrap(), Some(expected));
    for (bad, what) in [
        (vec!["B\tread\tseen"], "gave the line"),
        (vec!["B\tread\tseen\t", "C\tread\tseen\t"], "in one run"),
    ] {
        let error = lines(&bad).column("6.1").unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn what_was_seen_is_counted() {
    let some = lines(&["D\ta\tseen\t", "D\tb\tunseen\tNo.", "D\tc\tseen when read\t"]);
    assert_eq!(some.seen().unwrap(), (3, vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(lines(&[]).seen().unwrap(), (0, Vec::new()));
}

#[test]
fn the_machines_of_the_matrix_are_known() {
    assert!(!is_host(&Column::new("6.12 C")));
    assert!(!is_host(&Column::new("sid A")));
    assert!(is_host(&Column::new("6.18 D")));
}

fn column(name: &str, cells: &[(&str, &str, &str)]) -> Column {
    let cells = cells.iter().map(|(way, word, reason)| {
        let cell = Cell {
            word: (*word).into(),
            reason: (*reason).into(),
        };
        ((*way).to_owned(), cell)
    });
    Column {
        name: name.into(),
        cells: cells.collect(),
    }
}

#[test]
fn a_page_is_read_back_as_it_was_written() {
    let columns = vec![
        column(
            "6.1 B",
            &[
                ("read", "seen", ""),
                ("`..`", "unseen", "A."),
                ("x", "absent", "B."),
            ],
        ),
        column(
            "6.18 D",
            &[
                ("read", "seen when read", ""),
                ("`..`", "unseen", "B."),
                ("x", "unseen", "A."),
            ],
        ),
    ];
    let page = Page { columns };
    let text = page.render();
    assert!(
        text.contains("| way | 6.1 B | 6.18 D |\n| --- | --- | --- |\n| read | seen | seen when read |\n")
    );
    assert!(text.ends_with("\n## Notes\n\n1. A.\n2. B.\n"), "{text}");
    assert_eq!(Page::parse(&text).unwrap(), page);
    assert!(Page::parse("# Coverage\n").is_err());
}

#[test]
fn new_columns_replace_their_own_and_leave_the_rest() {
    let old = Page {
        columns: vec![
            column("6.1 B", &[("read", "seen", ""), ("gone", "seen", "")]),
            column("6.18 D", &[("read", "unseen", "A.")]),
        ],
    };
    let new = column("6.18 D", &[("new", "seen", ""), ("read", "seen", "")]);
    let page = old.with(std::slice::from_ref(&new)).unwrap();
    let kept = column("6.1 B", &[("new", "not run", ""), ("read", "seen", "")]);
    assert_eq!(page.columns, [kept, new]);
    let missed = column("6.1 B", &[("read", "MISSED", "")]);
    assert!(page.with(&[missed]).is_err());
}

#[test]
fn columns_stand_in_the_order_of_the_matrix() {
    let of_one = |name: &str| column(name, &[("read", "seen", "")]);
    let shuffled = ["6.18 D", "sid A", "6.12 C", "6.12 B", "5.10 B"].map(of_one);
    let page = Page::default().with(&shuffled).unwrap();
    let names: Vec<_> = page.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["5.10 B", "6.12 B", "6.12 C", "sid A", "6.18 D"]);
}

#[test]
fn a_cell_that_differs_is_named() {
    let page = column("6.1 B", &[("read", "seen", ""), ("gone", "seen", "")]);
    let run = column("6.1 B", &[("read", "unseen", "A."), ("new", "seen", "")]);
    let expected = [
        "6.1 B, read: unseen A.; the page says seen",
        "6.1 B, new: seen; the page says nothing",
        "6.1 B, gone: nothing; the page says seen",
    ];
    assert_eq!(page.differences(&run), expected);
    assert_eq!(run.differences(&run), [""; 0]);
}

#[test]
fn a_release_is_cut_to_its_two_numbers() {
    for (long, short) in [("6.18.44-x", "6.18"), ("7.2+deb", "7.2"), ("6.12.1+b", "6.12")] {
        assert_eq!(release(long), short);
    }
}
