//! The system and everything that can be done to it. In: acts of the plan. Out: a system that is
//! whole again when they are over, and what was wrong meanwhile.
//!
//! Each target has a lock: what takes longer than planned delays the next act on the same target,
//! and no other.

use std::net::SocketAddr;
use std::sync::{Mutex as Plain, PoisonError};
use std::time::Duration;

use devstack::{Fault as Cut, Proxy, Stack, free_port};
use e2e::ground::Ground;
use e2e::service::Plan as Recipe;
use e2e::shop::Shop;
use e2e::wrongs::Wrongs;
use tokio::sync::Mutex;

use crate::plan::{Act, Fault, Shape, Target};
use crate::slot::Slot;

/// Dead members are found after this long; shorter than the longest freezes and cuts of the plan.
const SESSION: &str = "3s";
/// How long a purchase may be on its way before its outcome is called unknown.
const DELIVERY: &str = "5s";
/// What a slow way adds to every byte.
const SLOW: Duration = Duration::from_millis(200);

/// The whole system.
pub(crate) struct Field {
    pub(crate) shop: Shop,
    consumers: Vec<Mutex<Slot>>,
    guest: Mutex<Slot>,
    roads: Vec<Mutex<Proxy>>,
    producers: Vec<Mutex<Slot>>,
    brokers: Vec<Mutex<()>>,
    database: Mutex<()>,
    doors: Vec<SocketAddr>,
    wrongs: Plain<Wrongs>,
}

impl Field {
    /// Starts everything, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub(crate) async fn open(shape: Shape) -> Self {
        let stack = Stack::builder()
            .own()
            .proxied(true)
            .brokers(shape.brokers)
            .broker_properties([("group.min.session.timeout.ms", "1000")]);
        let stack = stack
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let shop = Shop::on(Ground::Own(Box::new(stack))).await;
        let consumer = |name: &str, uri: &str| {
            let plan = shop.another_consumer(name).env("MONGODB_URI", uri);
            Mutex::new(Slot::new(
                name.to_owned(),
                plan.env("KAFKA_SESSION_TIMEOUT", SESSION),
            ))
        };
        let common = shop.ground.database_uri();
        let (mut consumers, mut roads) = (Vec::new(), Vec::new());
        for number in 0..shape.consumers {
            let road = Proxy::start(free_port(), shop.ground.database_proxy().address());
            let road = road.unwrap_or_else(|error| panic!("{error}"));
            let uri = format!("mongodb://{}/?directConnection=true", road.address());
            consumers.push(consumer(&format!("consumer-{number}"), &uri));
            roads.push(Mutex::new(road));
        }
        let guest = consumer("guest", &common);
        let producer = |number: usize| {
            let name = format!("producer-{number}");
            let plan: Recipe = shop.another_producer(&name);
            Slot::new(name, plan.env("KAFKA_DELIVERY_TIMEOUT", DELIVERY))
        };
        let producers: Vec<Slot> = (0..shape.producers).map(producer).collect();
        let field = Self {
            doors: producers.iter().map(|slot| slot.plan().http).collect(),
            producers: producers.into_iter().map(Mutex::new).collect(),
            consumers,
            guest,
            roads,
            brokers: (0..shape.brokers).map(|_| Mutex::new(())).collect(),
            database: Mutex::new(()),
            shop,
            wrongs: Plain::default(),
        };
        for slot in field.members() {
            slot.lock().await.start();
        }
        field.is_ready().await;
        field
    }

    /// Where purchases are made.
    pub(crate) fn doors(&self) -> Vec<SocketAddr> {
        self.doors.clone()
    }

    /// Those that are there all the time.
    fn members(&self) -> impl Iterator<Item = &Mutex<Slot>> {
        self.consumers.iter().chain(&self.producers)
    }

    /// Waits until everybody is ready.
    ///
    /// # Panics
    /// If somebody does not become so.
    pub(crate) async fn is_ready(&self) {
        for slot in self.members() {
            if let Some(service) = slot.lock().await.service() {
                service.becomes_ready().await;
            }
        }
    }

    /// What each consumer answers to this path.
    pub(crate) async fn ask_consumers(&self, path: &str) -> Vec<e2e::http::Answer> {
        let mut answers = Vec::new();
        for slot in &self.consumers {
            if let Some(service) = slot.lock().await.service() {
                answers.push(service.get(path).await);
            }
        }
        answers
    }

    /// Looks for services that have ended by themselves, except those that are being hurt.
    pub(crate) fn look(&self) {
        for slot in self.members().chain([&self.guest]) {
            if let Ok(mut slot) = slot.try_lock() {
                slot.look(&mut self.wrongs());
            }
        }
    }

    /// What was wrong so far.
    pub(crate) fn wrongs(&self) -> std::sync::MutexGuard<'_, Wrongs> {
        self.wrongs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does it, keeps it up, and heals it.
    ///
    /// # Panics
    /// If the plan names a fault that its target does not have, or broker or database do not come
    /// back: then there is nothing left to be examined.
    pub(crate) async fn perform(&self, act: Act) {
        let lasts = Duration::from_millis(act.lasts);
        match act.target {
            Target::Consumer(number) => self.hurt(&self.consumers[number], act, lasts).await,
            Target::Guest => self.hurt(&self.guest, act, lasts).await,
            Target::Producer(number) => self.hurt(&self.producers[number], act, lasts).await,
            Target::Road(number) => {
                let road = self.roads[number].lock().await;
                cut(&road, act, lasts).await;
            }
            Target::Broker(number) => {
                let _held = self.brokers[number].lock().await;
                let ground = &self.shop.ground;
                part(
                    ground.broker(number),
                    ground.broker_proxy(number),
                    act,
                    lasts,
                )
                .await;
            }
            Target::Database => {
                let _held = self.database.lock().await;
                let ground = &self.shop.ground;
                part(ground.database(), ground.database_proxy(), act, lasts).await;
            }
        }
    }

    async fn hurt(&self, slot: &Mutex<Slot>, act: Act, lasts: Duration) {
        let mut slot = slot.lock().await;
        slot.look(&mut self.wrongs());
        match act.fault {
            Fault::Kill => {
                slot.kill().await;
                tokio::time::sleep(lasts).await;
                slot.start();
            }
            Fault::Freeze => {
                slot.freeze();
                tokio::time::sleep(lasts).await;
                slot.thaw();
            }
            Fault::Leave => {
                let wrongs = slot.leave().await;
                self.wrongs().extend(wrongs);
                tokio::time::sleep(lasts).await;
                slot.start();
            }
            Fault::Visit => {
                slot.start();
                tokio::time::sleep(lasts).await;
                slot.look(&mut self.wrongs());
                let wrongs = slot.leave().await;
                self.wrongs().extend(wrongs);
            }
            _ => panic!("{act} cannot be done to a service"),
        }
    }
}

/// Broker or database, and the way to it.
async fn part(part: &devstack::Part, proxy: &Proxy, act: Act, lasts: Duration) {
    let done = |done: Result<(), devstack::StackError>| {
        done.unwrap_or_else(|error| panic!("{act}: {error}"));
    };
    match act.fault {
        Fault::Kill => {
            done(part.kill());
            tokio::time::sleep(lasts).await;
            done(part.restart().await);
        }
        Fault::Freeze => {
            done(part.freeze());
            tokio::time::sleep(lasts).await;
            done(part.thaw());
        }
        _ => cut(proxy, act, lasts).await,
    }
}

async fn cut(proxy: &Proxy, act: Act, lasts: Duration) {
    proxy.set(match act.fault {
        Fault::Silence => Cut::Blackhole,
        Fault::Reset => Cut::Reset,
        Fault::Refuse => Cut::Refuse,
        Fault::Slow => Cut::Latency(SLOW),
        _ => panic!("{act} cannot be done to a way"),
    });
    tokio::time::sleep(lasts).await;
    proxy.set(Cut::None);
}
