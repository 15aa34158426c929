//! Lines before the database, in which users take turns. Pure but for the waking.
//!
//! In: who wants a turn, and who leaves. Out: turns. Each line has its own, so nobody waits for who stands
//! in another one. A user has one read under way, whatever the number of his wishes, and the next of them
//! comes when everybody else in his line had one. Where a line is full, who asks for most loses the
//! newest of his wishes.

use std::collections::{HashMap, VecDeque};

use actors::{Cost, Credits, Permit};
use purchases::UserId;
use tokio::sync::oneshot;

/// Names one wish.
pub(super) type Ticket = u64;

pub(super) struct Lines {
    lines: Vec<Line>,
    users: HashMap<UserId, Asking>,
    /// Wishes of one user, and of all users of a line.
    most: (usize, usize),
    next: Ticket,
}

struct Line {
    turns: Credits,
    /// Users with a wish and nothing under way, who waits longest first.
    order: VecDeque<UserId>,
}

struct Asking {
    line: usize,
    under_way: Option<(Ticket, Permit)>,
    waiting: VecDeque<(Ticket, oneshot::Sender<()>)>,
}

impl Asking {
    fn wishes(&self) -> usize {
        usize::from(self.under_way.is_some()) + self.waiting.len()
    }
}

impl Lines {
    /// A line for each of these turns. `most`: wishes of one user, and of all users of a line.
    pub(super) fn new(turns: Vec<Credits>, most: (usize, usize)) -> Self {
        let lines = turns.into_iter().map(|turns| Line {
            turns,
            order: VecDeque::new(),
        });
        Self {
            lines: lines.collect(),
            users: HashMap::new(),
            most,
            next: 0,
        }
    }

    pub(super) fn turns(&self) -> impl Iterator<Item = &Credits> {
        self.lines.iter().map(|line| &line.turns)
    }

    /// A place in this line, or behind what the user asks for already. The receiver hears when the turn has
    /// come; an error there means that it never will. Nothing for whom there is no place.
    pub(super) fn enter(
        &mut self,
        user: &UserId,
        line: usize,
    ) -> Option<(Ticket, oneshot::Receiver<()>)> {
        let (wishes, line) = match self.users.get(user) {
            Some(asking) => (asking.wishes(), asking.line),
            None => (0, line),
        };
        if wishes == self.most.0 || !self.has_room(line, wishes) {
            return None;
        }
        self.next += 1;
        let (ticket, (begin, begun)) = (self.next, oneshot::channel());
        let asking = self.users.entry(user.clone()).or_insert_with(|| Asking {
            line,
            under_way: None,
            waiting: VecDeque::new(),
        });
        asking.waiting.push_back((ticket, begin));
        if wishes == 0 {
            self.lines[line].order.push_back(user.clone());
            self.serve(line);
        }
        Some((ticket, begun))
    }

    /// Whether one more finds room, who has so many wishes there already; room is made where somebody has
    /// more of them than he would have then.
    fn has_room(&mut self, line: usize, wishes: usize) -> bool {
        let there = || self.users.values().filter(|asking| asking.line == line);
        if there().map(Asking::wishes).sum::<usize>() < self.most.1 {
            return true;
        }
        let here = self.users.values_mut().filter(|asking| asking.line == line);
        let greedy = here.max_by_key(|asking| asking.wishes());
        match greedy.filter(|greedy| greedy.wishes() > wishes + 1) {
            // He keeps one at least. His receiver hears of it.
            Some(greedy) => greedy.waiting.pop_back().is_some(),
            None => false,
        }
    }

    /// A wish is over: its turn, or its waiting. The user goes on in the line where he belongs by now.
    pub(super) fn leave(&mut self, user: &UserId, ticket: Ticket, belongs: usize) {
        let Some(asking) = self.users.get_mut(user) else {
            return;
        };
        let was = asking.line;
        let ended = asking.under_way.take_if(|(of, _)| *of == ticket);
        asking.waiting.retain(|(of, _)| *of != ticket);
        let (idle, done) = (asking.under_way.is_none(), asking.waiting.is_empty());
        if idle && done {
            self.users.remove(user);
            self.lines[was].order.retain(|of| of != user);
        } else if ended.is_some() {
            asking.line = belongs;
            self.lines[belongs].order.push_back(user.clone());
        }
        drop(ended);
        for line in [was, belongs] {
            self.serve(line);
        }
    }

    /// Gives the turns of a line that nobody has.
    fn serve(&mut self, line: usize) {
        let Line { turns, order } = &mut self.lines[line];
        while let Some(user) = order.front()
            && let Ok(permit) = turns.try_take(Cost::pieces(1))
        {
            if let Some(asking) = self.users.get_mut(user)
                && let Some((ticket, begin)) = asking.waiting.pop_front()
            {
                asking.under_way = Some((ticket, permit));
                // Who has gone meanwhile leaves by himself, and gives the turn on.
                begin.send(()).ok();
            }
            order.pop_front();
        }
    }

    /// Users who wait or read, for the tests.
    #[cfg(test)]
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }
}
