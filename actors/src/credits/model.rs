//! Credits against a list that does the same the slow way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::gate::{Gate, Wait};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Take(Cost),
    Wait(Cost),
    Look(usize),
    GiveUp(usize),
    Return(usize),
    Resize(Cost),
    Reclaim,
    Close,
}

/// What waits, in order, and what is held.
#[derive(Default)]
struct Model {
    limit: Cost,
    held: Vec<(Cost, u64)>,
    waiting: Vec<(u64, Cost)>,
    granted: Vec<(u64, Cost)>,
    refused: Vec<(u64, Refused)>,
    generation: u64,
    closed: bool,
}

impl Model {
    fn used(&self) -> Cost {
        let ours = self
            .held
            .iter()
            .filter(|(_, generation)| *generation == self.generation)
            .map(|(cost, _)| cost);
        ours.chain(self.granted.iter().map(|(_, cost)| cost))
            .fold(Cost::default(), |sum, cost| Cost {
                count: sum.count + cost.count,
                bytes: sum.bytes + cost.bytes,
            })
    }

    fn fits(&self, cost: Cost) -> bool {
        let used = self.used();
        used.count + cost.count <= self.limit.count && used.bytes + cost.bytes <= self.limit.bytes
    }

    fn refusal(&self, cost: Cost) -> Option<Refused> {
        if self.closed {
            Some(Refused::Closed)
        } else if cost.count > self.limit.count || cost.bytes > self.limit.bytes {
            Some(Refused::TooLarge {
                asked: cost,
                limit: self.limit,
            })
        } else {
            None
        }
    }

    fn take(&mut self, cost: Cost) -> Result<u64, Refused> {
        if let Some(refused) = self.refusal(cost) {
            return Err(refused);
        }
        if !self.waiting.is_empty() || !self.fits(cost) {
            return Err(Refused::NoneLeft);
        }
        Ok(self.generation)
    }

    fn grant(&mut self) {
        while let Some((ticket, cost)) = self
            .waiting
            .first()
            .copied()
            .filter(|(_, cost)| self.fits(*cost))
        {
            self.waiting.remove(0);
            self.granted.push((ticket, cost));
        }
    }
}

fn costs() -> impl Strategy<Value = Cost> {
    (1..6usize, 1..6usize).prop_map(|(count, bytes)| Cost { count, bytes })
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => costs().prop_map(Op::Take),
        4 => costs().prop_map(Op::Wait),
        4 => any::<usize>().prop_map(Op::Look),
        2 => any::<usize>().prop_map(Op::GiveUp),
        6 => any::<usize>().prop_map(Op::Return),
        1 => costs().prop_map(Op::Resize),
        1 => Just(Op::Reclaim),
    ]
}

fn pick<T>(from: &[T], n: usize) -> Option<usize> {
    (!from.is_empty()).then(|| n % from.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn credits_are_conserved_and_given_in_order(
        limit in costs(),
        mut life in proptest::collection::vec(ops(), 0..60),
        close in any::<bool>(),
    ) {
        if close {
            life.push(Op::Close);
            life.extend((0..8).map(Op::Look));
        }
        let gate = Gate::new(limit);
        let mut model = Model { limit, ..Model::default() };
        let mut waits: Vec<(u64, Cost, Pin<Box<Wait<'_>>>)> = Vec::new();
        let mut next = 0;
        let mut cx = Context::from_waker(Waker::noop());
        for op in life {
            match op {
                Op::Take(cost) => {
                    let taken = gate.try_take(cost);
                    let expected = model.take(cost);
                    prop_assert_eq!(taken, expected);
                    model.held.extend(taken.ok().map(|generation| (cost, generation)));
                }
                Op::Wait(cost) => {
                    let mut wait = Box::pin(gate.wait(cost));
                    match (wait.as_mut().poll(&mut cx), model.take(cost)) {
                        (Poll::Pending, Err(Refused::NoneLeft)) => {
                            model.waiting.push((next, cost));
                            waits.push((next, cost, wait));
                            next += 1;
                        }
                        (Poll::Ready(taken), expected) => {
                            prop_assert_eq!(taken, expected);
                            model.held.extend(taken.ok().map(|generation| (cost, generation)));
                        }
                        (Poll::Pending, expected) => prop_assert!(false, "pending, expected {:?}", expected),
                    }
                }
                Op::Look(n) => if let Some(at) = pick(&waits, n) {
                    let (ticket, cost, wait) = &mut waits[at];
                    match wait.as_mut().poll(&mut cx) {
                        Poll::Pending => prop_assert!(model.waiting.iter().any(|(known, _)| known == ticket)),
                        Poll::Ready(Ok(generation)) => {
                            let granted = model.granted.iter().position(|(known, _)| known == ticket);
                            prop_assert!(granted.is_some(), "granted out of order");
                            model.granted.remove(granted.unwrap_or_default());
                            model.held.push((*cost, generation));
                            waits.remove(at);
                        }
                        Poll::Ready(Err(refused)) => {
                            let known = model.refused.iter().position(|(known, _)| known == ticket);
                            let known = known.map(|known| model.refused.remove(known).1);
                            prop_assert_eq!(Some(refused), known, "the reason of the time it was sent away");
                            waits.remove(at);
                        }
                    }
                },
                Op::GiveUp(n) => if let Some(at) = pick(&waits, n) {
                    let (ticket, _, wait) = waits.remove(at);
                    drop(wait);
                    model.waiting.retain(|(known, _)| *known != ticket);
                    model.granted.retain(|(known, _)| *known != ticket);
                    model.refused.retain(|(known, _)| *known != ticket);
                    model.grant();
                },
                Op::Return(n) => if let Some(at) = pick(&model.held, n) {
                    let (cost, generation) = model.held.remove(at);
                    gate.give_back(cost, generation);
                    model.grant();
                },
                Op::Resize(limit) => {
                    gate.resize(limit);
                    model.limit = limit;
                    let (stay, go) = model.waiting.iter().copied().partition(|(_, cost)| model.refusal(*cost).is_none());
                    model.waiting = stay;
                    let go: Vec<(u64, Cost)> = go;
                    model.refused.extend(go.into_iter().map(|(ticket, cost)| (ticket, Refused::TooLarge { asked: cost, limit })));
                    model.grant();
                }
                Op::Reclaim => {
                    gate.reclaim();
                    model.generation += 1;
                    model.grant();
                }
                Op::Close => {
                    gate.close();
                    model.closed = true;
                    model.refused.extend(model.waiting.drain(..).map(|(ticket, _)| (ticket, Refused::Closed)));
                }
            }
            prop_assert_eq!(gate.used(), model.used());
        }
        drop(waits);
        for (cost, generation) in model.held {
            gate.give_back(cost, generation);
        }
        prop_assert_eq!(gate.used(), Cost::default());
    }
}
