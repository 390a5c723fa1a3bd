//! One kernel on one tier: what became of each way.

use crate::vm::kernel::Kernel;

/// A cell: what was seen, and the reason where one is due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) word: String,
    pub(super) reason: String,
}

/// A kernel on a tier, with its cells by way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) cells: Vec<(String, Cell)>,
}

impl Column {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cells: Vec::new(),
        }
    }

    /// The cell of a way.
    pub(super) fn cell(&self, way: &str) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|(known, _)| known == way)
            .map(|(_, cell)| cell)
    }

    /// Where `seen` is not what this column of the page says.
    pub(super) fn differences(&self, seen: &Self) -> Vec<String> {
        let word = |cell: Option<&Cell>| {
            let text = cell.map(|cell| format!("{} {}", cell.word, cell.reason));
            text.unwrap_or_else(|| "nothing".to_owned()).trim_end().to_owned()
        };
        let ways = seen.cells.iter().chain(&self.cells).map(|(way, _)| way);
        let mut differences = Vec::new();
        for way in ways {
            let (page, run) = (word(self.cell(way)), word(seen.cell(way)));
            let text = format!("{}, {way}: {run}; the page says {page}", seen.name);
            if page != run && !differences.contains(&text) {
                differences.push(text);
            }
        }
        differences
    }

    /// Kernels in the order of the matrix, unknown ones last; then tiers.
    pub(super) fn rank(&self) -> (usize, String) {
        let kernel = self.name.split(' ').next().unwrap_or_default();
        let known = Kernel::ALL.iter().position(|known| known.name() == kernel);
        (known.unwrap_or(Kernel::ALL.len()), self.name.clone())
    }
}
