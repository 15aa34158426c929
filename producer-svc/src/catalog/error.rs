//! All that is wrong with a catalog.
//!
//! In: flaws, each with its place. Out: text for the operator: one line, or one line each.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// JSON pointer to it; empty for the whole file.
    pub pointer: String,
    /// What is wrong, as the end of a sentence that begins with the place.
    pub detail: String,
}

impl Flaw {
    pub(super) fn whole(detail: impl Into<String>) -> Self {
        Self {
            pointer: String::new(),
            detail: detail.into(),
        }
    }

    pub(super) fn at(line: usize, field: &str, detail: String) -> Self {
        Self {
            pointer: format!("/{line}{field}"),
            detail,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.detail),
            pointer => write!(f, "{pointer} {}", self.detail),
        }
    }
}

/// All flaws of a file, in its order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CatalogError(Vec<Flaw>);

/// More than this many are counted and not shown in one line.
const SHOWN: usize = 20;

impl CatalogError {
    pub(super) fn new(flaws: Vec<Flaw>) -> Self {
        Self(flaws)
    }

    pub(super) fn whole(detail: impl Into<String>) -> Self {
        Self(vec![Flaw::whole(detail)])
    }

    /// The flaws.
    pub fn flaws(&self) -> &[Flaw] {
        &self.0
    }

    /// All of them, on lines of their own behind a first one that counts them.
    pub fn in_lines(&self) -> String {
        match &self.0[..] {
            [one] => one.to_string(),
            many => many
                .iter()
                .fold(format!("has {} errors:", many.len()), |text, flaw| {
                    text + "\n    " + &flaw.to_string()
                }),
        }
    }
}

/// One line, for the log: the first ones and how many more.
impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, flaw) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{flaw}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
