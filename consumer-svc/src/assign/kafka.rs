//! Membership in the consumer group: the thread that polls the consumer.
//!
//! Rebalances run on whatever thread polls; they may take as long as a drain takes, so that thread
//! is ours and not one of the runtime's. Records never pass here: their queues are split off
//! before the assignment takes effect.

mod complaints;
mod doubt;
mod in_vain;
mod resolve;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use self::complaints::Complaints;
use self::doubt::Doubt;
use self::in_vain::InVain;
use self::resolve::Unresolved;
use super::Membership;
use super::release::Assignment;
use crate::config::KafkaConfig;
use crate::flow::Learnt;
use crate::kafka::{
    ConsumerSlot, GroupConsumer, GroupContext, Observer, Rebalance, assign, consumer_config,
    decline, refused, unassign,
};
use crate::metrics;

/// Prepares a partition before it is assigned; given by the wiring.
pub type Prepare<P> = Box<dyn Fn(&Arc<GroupConsumer>, i32) -> Option<P> + Send + Sync>;

/// One member of the group, as often as it has to join.
pub struct KafkaMembership<P> {
    config: KafkaConfig,
    slot: ConsumerSlot,
    observer: Arc<Observer>,
    assignment: Arc<Assignment<P>>,
    prepare: Arc<Prepare<P>>,
    leaving: Mutex<Arc<AtomicBool>>,
    /// Held by the thread that is a member, so that a successor waits for it to be gone.
    seat: Arc<tokio::sync::Mutex<()>>,
}

/// How often the thread looks whether it should leave.
const POLL: Duration = Duration::from_millis(100);
/// How long an assignment waits for the committed offsets, and again for the ends of the logs. The client
/// delivers nothing meanwhile, also not of what this member keeps; what is not known by then is asked for
/// again beside the others.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// For both, and for a client that does not keep to it.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);
/// How long the topic's partitions may take to be counted before the membership begins.
const COUNT_TIMEOUT: Duration = Duration::from_secs(1);
/// And while it may be over; whoever wants to leave waits as long.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// Partitions that a topic is believed to have that cannot be seen.
const ROOM: usize = 12;
/// How long leaving may take after the partitions were given back.
const LEAVE_FOR: Duration = Duration::from_secs(5);

impl<P: Send + Sync + 'static> KafkaMembership<P> {
    /// Joins nothing yet.
    pub fn new(
        config: KafkaConfig,
        (slot, observer): (ConsumerSlot, Arc<Observer>),
        assignment: Assignment<P>,
        prepare: Prepare<P>,
    ) -> Self {
        Self {
            config,
            slot,
            observer,
            assignment: Arc::new(assignment),
            prepare: Arc::new(prepare),
            leaving: Mutex::default(),
            seat: Arc::default(),
        }
    }
}

impl<P: Send + Sync + 'static> Membership for KafkaMembership<P> {
    fn run(self: Arc<Self>) -> impl Future<Output = Result<(), String>> + Send {
        // At once and not when the future is first polled: who wants to leave before that must
        // find the flag of this membership.
        let leaving = Arc::new(AtomicBool::new(false));
        *self.leaving.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&leaving);
        self.member(leaving)
    }

    fn leave(&self) {
        self.leaving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .store(true, Ordering::Release);
    }
}

impl<P: Send + Sync + 'static> KafkaMembership<P> {
    async fn member(self: Arc<Self>, leaving: Arc<AtomicBool>) -> Result<(), String> {
        let seat = Arc::clone(&self.seat).lock_owned().await;
        let (done, ended) = oneshot::channel();
        let member = Member {
            runtime: Handle::current(),
            topic: self.config.topic.clone(),
            observer: Arc::clone(&self.observer),
            assignment: Arc::clone(&self.assignment),
            prepare: Arc::clone(&self.prepare),
            room: AtomicUsize::new(0),
            ended: Mutex::new(None),
            leaving: Arc::clone(&leaving),
        };
        let (config, slot) = (self.config.clone(), self.slot.clone());
        let thread = std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || {
                let result = member_thread(&config, &slot, member, &leaving);
                drop(seat);
                if done.send(result).is_err() {
                    debug!("nobody waits for the end of the membership");
                }
            });
        thread.map_err(|error| format!("the member thread did not start: {error}"))?;
        ended
            .await
            .unwrap_or_else(|_| Err("the member thread panicked".to_owned()))
    }
}

fn member_thread<P: Send + Sync + 'static>(
    config: &KafkaConfig,
    slot: &ConsumerSlot,
    member: Member<P>,
    leaving: &AtomicBool,
) -> Result<(), String> {
    let member = Arc::new(member);
    member.make_room(0);
    let mut in_vain = InVain::default();
    loop {
        let joined = Instant::now();
        match stay(config, slot, &member, leaving)? {
            Stay::Over => return Ok(()),
            // Everything was given back in order; the next client has smaller shares.
            Stay::Outgrown(partitions) => {
                info!(
                    partitions,
                    "more partitions than the prefetch is shared among: joining again"
                );
                member.make_room(partitions);
            }
            Stay::GivenUp => {
                in_vain.again(joined.elapsed())?;
                warn!("the Kafka client holds a partition and does not read it: joining again");
            }
            Stay::Stranded => {
                warn!("the Kafka client reaches no broker where another one does: joining again");
            }
        }
    }
}

/// Why a stay in the group ended well.
enum Stay {
    /// It was asked to.
    Over,
    /// So many partitions, and the client was made for fewer.
    Outgrown(usize),
    /// The client does not read all that it holds, and will not.
    GivenUp,
    /// The client reaches nobody, and will not: others do.
    Stranded,
}

/// Joins, and stays until it is time to go.
fn stay<P: Send + Sync + 'static>(
    config: &KafkaConfig,
    slot: &ConsumerSlot,
    member: &Arc<Member<P>>,
    leaving: &AtomicBool,
) -> Result<Stay, String> {
    let room = member.room.load(Ordering::Acquire);
    let context = GroupContext::new(
        Arc::clone(member) as Arc<dyn Rebalance>,
        slot.clone(),
        config.settings.clone(),
    );
    let consumer: BaseConsumer<GroupContext> = consumer_config(config, room)
        .create_with_context(context)
        .map_err(|error| format!("kafka consumer: {}", refused(&error)))?;
    let consumer = Arc::new(consumer);
    slot.set(Some(Arc::clone(&consumer)));
    consumer
        .subscribe(&[&config.topic])
        .map_err(|error| format!("subscribe to {}: {error}", config.topic))?;
    let result = poll_until(&consumer, slot, member, || leaving.load(Ordering::Acquire));
    // Who is stranded commits nothing any more, so nothing is to be waited for.
    let lost = matches!(result, Ok(Stay::Stranded)) || consumer.assignment_lost();
    leave(&consumer, member, lost);
    slot.set(None);
    metrics::prefetched(0, 0);
    // The last hold closes the client, which leaves the group.
    drop(consumer);
    result
}

/// Serves the consumer's events until it is time to go.
fn poll_until<P>(
    consumer: &GroupConsumer,
    slot: &ConsumerSlot,
    member: &Member<P>,
    stop: impl Fn() -> bool,
) -> Result<Stay, String> {
    let mut complaints = Complaints::default();
    let mut doubt = Doubt::none();
    while !stop() {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                // Every queue is split off before it can deliver; a record here would be skipped.
                return Err(format!(
                    "record {}/{} arrived outside its partition's queue",
                    message.partition(),
                    message.offset()
                ));
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                return Err(format!("fatal consumer error: {code}"));
            }
            Some(Err(error)) => complaints.hear(&error),
        }
        let ended = member.ended.lock();
        if let Some(ended) = ended.unwrap_or_else(PoisonError::into_inner).take() {
            return ended;
        }
        if slot.is_given_up() {
            return Ok(Stay::GivenUp);
        }
        let others = || member.observer.partitions(LOOK_TIMEOUT).is_some();
        if doubt.is_certain(slot.is_silent(), others, Instant::now()) {
            return Ok(Stay::Stranded);
        }
    }
    Ok(Stay::Over)
}

/// Gives every partition back and leaves.
fn leave<P: Send + Sync + 'static>(consumer: &Arc<GroupConsumer>, member: &Member<P>, lost: bool) {
    let started = Instant::now();
    // The partitions first, by our own protocol; what unsubscribing then revokes is empty work.
    let held = member.runtime.block_on(member.assignment.release_all(lost));
    let leaving = Instant::now();
    consumer.unsubscribe();
    while consumer.assignment().is_ok_and(|left| left.count() > 0) && leaving.elapsed() < LEAVE_FOR
    {
        if let Some(Err(error)) = consumer.poll(POLL) {
            debug!(%error, "while leaving");
        }
    }
    info!(partitions = ?held, took = ?started.elapsed(), "gave back all partitions");
}

/// What the rebalance callbacks work with.
struct Member<P> {
    runtime: Handle,
    topic: String,
    observer: Arc<Observer>,
    assignment: Arc<Assignment<P>>,
    prepare: Arc<Prepare<P>>,
    /// Partitions that the client was made for.
    room: AtomicUsize,
    /// Set when the stay cannot go on; the polling loop ends with it.
    ended: Mutex<Option<Result<Stay, String>>>,
    /// Whether it is to leave, which need not wait for an assignment.
    leaving: Arc<AtomicBool>,
}

impl<P: Send + Sync + 'static> Rebalance for Member<P> {
    fn assigned(&self, consumer: &Arc<GroupConsumer>, partitions: &mut TopicPartitionList) {
        metrics::rebalance();
        let held = self.assignment.held.partitions().len() + partitions.count();
        let ended = if held > self.room.load(Ordering::Acquire) {
            Ok(Stay::Outgrown(held))
        } else {
            match self.take(consumer, partitions) {
                Ok(()) => return,
                Err(Unresolved::Leaving) => {
                    info!("an assignment is not taken any more: leaving");
                    Ok(Stay::Over)
                }
                Err(Unresolved::Failed(cause)) => {
                    error!(%cause, "assignment failed");
                    Err(cause)
                }
            }
        };
        if let Err(error) = decline(consumer) {
            warn!(%error, "declining an assignment");
        }
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
    }

    fn revoked(&self, consumer: &Arc<GroupConsumer>, partitions: &TopicPartitionList, lost: bool) {
        metrics::rebalance();
        let revoked: Vec<i32> = partitions
            .elements_for_topic(&self.topic)
            .iter()
            .map(|element| element.partition())
            .collect();
        let held = self.assignment.held.partitions();
        let revoked_and_held: Vec<i32> = revoked
            .iter()
            .copied()
            .filter(|partition| held.contains(partition))
            .collect();
        if !revoked_and_held.is_empty() {
            info!(partitions = ?revoked_and_held, lost, "partitions revoked");
            self.runtime
                .block_on(self.assignment.release(&revoked_and_held, lost));
        }
        if let Err(error) = unassign(consumer, partitions) {
            warn!(%error, ?revoked, "unassign");
        }
    }
}

impl<P: Send + Sync + 'static> Member<P> {
    /// The next client has room for these partitions, and for all that the topic has. Where the broker
    /// does not say, there will be time to find out.
    fn make_room(&self, partitions: usize) {
        let all = self.observer.partitions(COUNT_TIMEOUT).unwrap_or(ROOM);
        self.room.store(all.max(partitions), Ordering::Release);
    }

    fn take(
        &self,
        consumer: &Arc<GroupConsumer>,
        partitions: &TopicPartitionList,
    ) -> Result<(), Unresolved> {
        let given: Vec<i32> = partitions
            .elements_for_topic(&self.topic)
            .iter()
            .map(|element| element.partition())
            .collect();
        let Learnt {
            known,
            unknown,
            committed,
        } = self.resolve(&given)?;
        info!(partitions = ?known, "partitions assigned");
        if !unknown.is_empty() {
            warn!(
                partitions = ?unknown,
                "assigned, and nobody says where to start: each is read once that is known"
            );
        }
        let mut list = TopicPartitionList::with_capacity(given.len());
        let mut ready = Vec::with_capacity(given.len());
        let known = known.into_iter().map(|one| (one.partition, Some(one)));
        let unknown = unknown.into_keys().map(|partition| (partition, None));
        for (partition, standing) in known.chain(unknown) {
            // Of the others the client takes hold, too, as it must to be told later where to read: where the
            // group is known to have committed there, so that it has nothing to ask a leader that is away.
            // What it fetches until then nobody takes; should anybody, it is nothing that skips a record.
            let start = standing.map(|standing| standing.start());
            let start = start.or_else(|| committed.get(&partition).copied());
            let offset = start.map_or(Offset::Beginning, |start| Offset::Offset(start as i64));
            list.add_partition_offset(&self.topic, partition, offset)
                .map_err(|error| Unresolved::Failed(error.to_string()))?;
            let split = || format!("partition {partition} cannot be split off");
            let records = (self.prepare)(consumer, partition);
            let records = records.ok_or_else(|| Unresolved::Failed(split()))?;
            ready.push((partition, standing, records));
        }
        let refused = |error| Unresolved::Failed(format!("assign {given:?}: {error}"));
        assign(consumer, &list).map_err(refused)?;
        let started = self.runtime.block_on(self.assignment.start(ready));
        started.map_err(Unresolved::Failed)
    }

    /// Where to start: the committed offset, or the start of the log where there is none. Asked
    /// of the broker here and not left to the client, because the books of commit begin with it.
    fn resolve(&self, partitions: &[i32]) -> Result<Learnt, Unresolved> {
        let (observer, asked) = (Arc::clone(&self.observer), partitions.to_vec());
        let wait = (RESOLVE_TIMEOUT, RESOLVE_TIMEOUT);
        let ask = move || observer.standings(Some(&asked), wait);
        match resolve::once(ask, &self.leaving, RESOLVE_WITHIN) {
            Err(Unresolved::Failed(cause)) => Ok(Learnt::nothing(partitions, &cause)),
            other => other,
        }
    }
}
