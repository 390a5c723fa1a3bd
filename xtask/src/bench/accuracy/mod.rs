//! `cargo xtask bench accuracy`: recall and precision by category on the project's labelled corpus, beside other scanners.
//!
//! The corpus is made anew by the integration test that holds Layerwatch to it; each layer in it has one file, so that a
//! scanner's answer is the set of layers it names. All are asked the same question: is there something in this file?

mod rivals;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use crate::bench::page;
use crate::test::tools;
use crate::workspace::Workspace;
use crate::{files, process, say};

const TEST: &str = "every_secret_of_the_corpus_is_found_by_its_rule_and_nothing_else_is";
const CATEGORIES: [&str; 14] = [
    "private-key",
    "account",
    "network",
    "cloud",
    "forge",
    "registry",
    "database",
    "kubernetes",
    "infrastructure",
    "messaging",
    "payment",
    "api",
    "generic",
    "none",
];

/// A layer of the corpus and what Layerwatch said of it.
#[derive(Debug)]
struct Label {
    layer: String,
    category: String,
    positive: bool,
}

/// The layers that a scanner named.
type Named = BTreeSet<String>;

/// Makes the corpus, asks everybody, prints the table.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    tools::install(workspace)?;
    let corpus = workspace.target.join("bench/accuracy/corpus");
    files::empty_folder(&corpus)?;
    let mut test = workspace.cargo();
    test.args([
        "test",
        "--package",
        "layerwatch-tests",
        "--test",
        "integration",
        TEST,
    ])
    .env("PATH", tools::path(workspace)?)
    .env("LAYERWATCH_CORPUS", &corpus);
    process::run(&mut test)?;
    let (labels, own) = labels(&files::read_text(&corpus.join("labels.tsv"))?)?;
    let mut answers = vec![("layerwatch".to_owned(), own)];
    for rival in rivals::RIVALS {
        match rivals::ask(workspace, &corpus, rival) {
            Ok(files) => answers.push((rival.name.to_owned(), named(&files))),
            Err(error) => say::progress(&format!("bench: {} is left out: {error:#}", rival.name)),
        }
    }
    let table = table(&labels, &answers);
    say::output(table.as_bytes());
    page::update(workspace, page::ACCURACY, "accuracy", &table)
}

/// The labels, and the layers in which Layerwatch found something.
fn labels(text: &str) -> Result<(Vec<Label>, Named)> {
    let mut labels = Vec::new();
    let mut own = Named::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [kind, category, _rule, outcome, path] = fields[..] else {
            anyhow::bail!("a label has five fields: {line}");
        };
        let layer = path.split('/').next().context("a path in a layer")?.to_owned();
        if outcome == "found" {
            own.insert(layer.clone());
        }
        labels.push(Label {
            layer,
            category: category.to_owned(),
            positive: kind == "positive",
        });
    }
    Ok((labels, own))
}

/// The `layer-NNNN` of each file.
fn named(files: &[String]) -> Named {
    files
        .iter()
        .filter_map(|file| file.split('/').find(|part| part.starts_with("layer-")))
        .map(str::to_owned)
        .collect()
}

/// One line for each category: how many of the secrets were found, and how many of the alarms were right.
fn table(labels: &[Label], answers: &[(String, Named)]) -> String {
    let positive = labels.iter().filter(|label| label.positive).count();
    let mut text = format!(
        "\n{positive} files with a secret, {} without; recall and precision in percent\n\n| category | with | without |",
        labels.len() - positive
    );
    for (name, _) in answers {
        text.push_str(&[" ", name.as_str(), " |"].concat());
    }
    text.push_str("\n|---|---|---|");
    text.push_str(&"---|".repeat(answers.len()));
    let mut of: BTreeMap<&str, Vec<&Label>> = BTreeMap::new();
    for label in labels {
        of.entry(&label.category).or_default().push(label);
    }
    let all: Vec<&Label> = labels.iter().collect();
    let rows = CATEGORIES.iter().filter_map(|name| Some((*name, of.get(name)?)));
    for (name, group) in rows.chain([("all", &all)]) {
        let with = group.iter().filter(|label| label.positive).count();
        let without = group.len() - with;
        text.extend([format!("\n| {name} | {with} | {without} |")]);
        for (_, named) in answers {
            text.extend([format!(" {} |", score(group, named))]);
        }
    }
    text.push('\n');
    text
}

/// `recall / precision`; a dash for what there is none of.
fn score(group: &[&Label], named: &Named) -> String {
    let found = |positive| {
        let of_kind = group.iter().filter(|label| label.positive == positive);
        of_kind.filter(|label| named.contains(&label.layer)).count()
    };
    let with = group.iter().filter(|label| label.positive).count();
    let (right, wrong) = (found(true), found(false));
    format!("{} / {}", percent(right, with), percent(right, right + wrong))
}

fn percent(part: usize, whole: usize) -> String {
    match (part * 1000).checked_div(whole) {
        Some(thousandths) => format!("{}.{}", thousandths / 10, thousandths % 10),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_and_precision_are_counted_by_category() {
        let text = "positive\tcloud\ta\tfound\tlayer-0001/x\npositive\tcloud\tb\tsilent\tlayer-0002/x\n\
                    negative\tcloud\ta\tfound\tlayer-0003/x\nnegative\tnone\t\tsilent\tlayer-0004/x\n";
        let (labels, own) = labels(text).unwrap();
        let other = named(&["/c/layer-0002/x", "/c/layer-0001/x"].map(str::to_owned));
        let table = table(&labels, &[("own".to_owned(), own), ("other".to_owned(), other)]);
        let rows: Vec<&str> = table.lines().filter(|line| line.contains('/')).collect();
        assert_eq!(
            rows,
            [
                "| cloud | 2 | 1 | 50.0 / 50.0 | 100.0 / 100.0 |",
                "| none | 0 | 1 | - / - | - / - |",
                "| all | 2 | 2 | 50.0 / 50.0 | 100.0 / 100.0 |",
            ]
        );
        assert!(super::labels("positive\tcloud").is_err());
    }
}
