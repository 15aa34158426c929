//! What is wrong: per kind how often, and the first few. In: examples, as they are found. Out: an account
//! that is empty where all is right.

use std::collections::BTreeMap;
use std::fmt;

/// Wrongs by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrongs(BTreeMap<String, (usize, Vec<String>)>);

impl Wrongs {
    /// Notes one.
    pub fn add(&mut self, kind: impl Into<String>, example: impl FnOnce() -> String) {
        let (count, examples) = self.0.entry(kind.into()).or_default();
        *count += 1;
        if examples.len() < 3 {
            examples.push(example());
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kinds and how often each was seen.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        self.0
            .iter()
            .map(|(kind, (count, _))| (kind.as_str(), *count))
            .collect()
    }

    /// Takes over those of another account.
    pub fn extend(&mut self, other: Self) {
        for (kind, (count, examples)) in other.0 {
            let (all, shown) = self.0.entry(kind).or_default();
            *all += count;
            shown.extend(examples);
            shown.truncate(3);
        }
    }
}

impl fmt::Display for Wrongs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (count, examples)) in &self.0 {
            writeln!(f, "{count} {kind}")?;
            for example in examples {
                writeln!(f, "    {example}")?;
            }
        }
        Ok(())
    }
}
