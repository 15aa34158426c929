//! Every commit that the broker took, and who the members were then, in the order in which it took them.
//! In: the broker's own topic of commits. Out: which of them should not be.
//!
//! A commit in that log does not say who made it, so what it proves is this. The broker takes a commit only
//! from a member of the group's current generation, or from anybody while there are no members; so a commit
//! that stands behind a generation was made in it. Wrong is a commit while there are no members, and one of a
//! partition that nobody has in that generation and whose last owner, who may still be giving it back, is
//! no member either. What another *member* commits of a partition is known by its order alone: the owner
//! commits on from where it was, so the one or the other is behind an earlier one. If it fits in between, it is
//! neither seen nor of any harm, as long as all before it is stored, which [`crate::invariants`] looks at.

mod format;
mod log;

use std::collections::{BTreeMap, BTreeSet};

pub use self::format::read as entry;
pub use self::log::{Mark, mark, read};
use crate::wrongs::Wrongs;

/// A commit by somebody who no longer had the partition.
pub const OVERTAKEN: &str = "commits that were behind an earlier one";
/// A commit by somebody who cannot have had it.
pub const UNOWNED: &str = "commits of partitions that no member had";

/// What stands in the log of commits, of one group and topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// From here on these are the members; of each, which partitions it has.
    Generation(BTreeMap<String, BTreeSet<i32>>),
    /// A commit of a partition; none is that it was forgotten.
    Commit(i32, Option<i64>),
}

impl Entry {
    /// Whether somebody has committed.
    pub fn is_commit(&self) -> bool {
        matches!(self, Self::Commit(_, Some(_)))
    }
}

/// Whether every commit behind `mark` is one that its partition's owner may have made. What stands before the
/// mark tells who the members are; its commits are somebody else's affair.
pub fn check(history: &[(i64, Entry)], mark: i64) -> Wrongs {
    let mut wrongs = Wrongs::default();
    let (mut members, mut last_owner) = (BTreeMap::new(), BTreeMap::new());
    let mut newest: BTreeMap<i32, i64> = BTreeMap::new();
    for (at, entry) in history {
        match entry {
            Entry::Generation(now) => {
                members = now.clone();
                for (member, partitions) in now {
                    let had = partitions.iter().map(|one| (*one, member.clone()));
                    last_owner.extend(had);
                }
            }
            Entry::Commit(partition, None) => {
                newest.remove(partition);
            }
            Entry::Commit(..) if *at < mark => {}
            Entry::Commit(partition, Some(offset)) => {
                let before = newest.insert(*partition, *offset);
                if let Some(before) = before.filter(|before| offset < before) {
                    wrongs.add(OVERTAKEN, || {
                        format!("partition {partition}: {offset} after {before}")
                    });
                }
                // Who owns it now owned it last.
                let owner = last_owner.get(partition);
                if !owner.is_some_and(|owner| members.contains_key(owner)) {
                    wrongs.add(UNOWNED, || {
                        format!("partition {partition}: {offset}, last had by {owner:?}; members: {members:?}")
                    });
                }
            }
        }
    }
    wrongs
}

/// The newest commit of each partition.
pub fn newest(history: &[(i64, Entry)]) -> BTreeMap<i32, i64> {
    let mut newest = BTreeMap::new();
    for (_, entry) in history {
        match entry {
            Entry::Commit(partition, Some(offset)) => drop(newest.insert(*partition, *offset)),
            Entry::Commit(partition, None) => drop(newest.remove(partition)),
            Entry::Generation(_) => {}
        }
    }
    newest
}
