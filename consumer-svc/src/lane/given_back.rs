//! What was read of a partition that is not held any more, or not by the same reader: nobody waits for it.

use actors::{Epoch, Position};

use super::{Lanes, locked};

impl Lanes {
    /// These were given back: nobody waits any more for what was read in them until `last`.
    pub fn given_back(&self, partitions: &[i32], last: Epoch) {
        let mut given_back = locked(&self.0.given_back);
        for partition in partitions {
            let known = given_back.entry(*partition).or_insert(last);
            *known = last.max(*known);
        }
    }

    /// Whether nobody waits for this any more: another reader has begun there since it was read, here or,
    /// once the partition was given back, elsewhere. While it is being given back, it is waited for.
    pub fn is_superseded(&self, at: Position) -> bool {
        let Ok(partition) = i32::try_from(at.lane) else {
            return false;
        };
        let last = locked(&self.0.given_back).get(&partition).copied();
        last.is_some_and(|last| at.epoch <= last)
            || locked(&self.0.open)
                .get(&partition)
                .is_some_and(|lane| lane.0.place.is_newer_than(at.epoch))
    }
}
