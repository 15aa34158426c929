//! Children that do what is asked of them, one or all.

use super::super::super::*;
use super::World;

impl World {
    pub(in super::super) fn obey_one(&mut self, key: Key) {
        let (epoch, up) = self.alive[&key];
        if self.killed.contains(&key) {
            self.gone(key, Exit::Killed);
        } else if let Some(exit) = self.ending.get(&key).cloned() {
            self.gone(key, exit);
        } else if !up {
            self.alive.insert(key, (epoch, true));
            self.was_up.insert(key);
            let acts = self.machine.started(key, epoch, self.now);
            self.obey(acts);
        } else {
            self.gone(key, Exit::Drained);
        }
    }

    /// Whether something was asked of it that it can still do.
    pub(super) fn owes(&self, key: Key, up: bool) -> bool {
        let asked = !up || self.drained.contains(&key) || self.killed.contains(&key);
        (asked || self.ending.contains_key(&key)) && !self.wedged.contains(&key)
    }

    fn first_owing(&self) -> Option<Key> {
        let mut alive = self.alive.iter();
        alive
            .find(|(key, (_, up))| self.owes(**key, *up))
            .map(|(key, _)| *key)
    }

    /// Everybody does what is asked, until the next start of this one, which fails.
    pub(in super::super) fn settle_but(&mut self, fails: Key) {
        for _ in 0..10_000 {
            if let Some(key) = self.first_owing() {
                if key == fails && !self.alive[&key].1 {
                    return self.gone(key, Exit::StartFailed("no".to_owned()));
                }
                self.obey_one(key);
            } else if let Some(at) = self.machine.next_tick() {
                self.now = self.now.max(at);
                let acts = self.machine.tick(self.now);
                self.obey(acts);
            }
        }
        panic!("{fails} is never started");
    }

    /// Everybody does what is asked, until nothing happens any more.
    pub(in super::super) fn settle(&mut self) {
        for _ in 0..10_000 {
            if let Some(key) = self.first_owing() {
                self.obey_one(key);
            } else if let Some(at) = self.machine.next_tick() {
                self.now = self.now.max(at);
                let acts = self.machine.tick(self.now);
                self.obey(acts);
            } else {
                return;
            }
        }
        panic!("never comes to rest");
    }
}
