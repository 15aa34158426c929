//! Commits through the group's consumer.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::{Committer, Warrant};
use crate::config::KafkaConfig;
use crate::flow::{CommitError, Learnt};
use crate::kafka::{ConsumerSlot, Lookup, Observer};
use crate::mark::Print;

/// For a request to the coordinator, and for all leaders together. More than an assignment has for the same
/// question: nobody waits here, and who always takes this long would leave its partitions unread for good.
const STANDINGS: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(4));

/// Commits with whatever consumer is in the slot at that moment.
pub struct KafkaCommitter {
    slot: ConsumerSlot,
    observer: Arc<Observer>,
    topic: String,
    log: Arc<Lookup>,
}

impl KafkaCommitter {
    /// Commits positions of the topic that is configured.
    pub fn new((slot, observer): (ConsumerSlot, Arc<Observer>), config: &KafkaConfig) -> Self {
        Self {
            slot,
            observer,
            topic: config.topic.clone(),
            log: Arc::new(Lookup::of_single(config)),
        }
    }
}

impl Committer for KafkaCommitter {
    fn commit(&self, positions: &[(i32, u64)], warrant: &Warrant) -> Result<(), CommitError> {
        let consumer = self.slot.get().ok_or(CommitError::NoConsumer)?;
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, next) in positions {
            // `commit` stores the offset as it is given: the next one to read.
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next as i64))
                .map_err(|error| CommitError::Retryable(error.to_string()))?;
        }
        if !warrant.take() {
            return Err(CommitError::Withdrawn);
        }
        consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| classify(&error))
    }

    fn standings(&self, partitions: &[i32]) -> Learnt {
        let asked = self.observer.standings(Some(partitions), STANDINGS);
        asked.unwrap_or_else(|cause| Learnt::nothing(partitions, &cause))
    }

    async fn print(&self, partition: i32, offset: u64) -> Result<Option<Print>, String> {
        let topic = self.topic.clone();
        let ask = move |log: &Lookup| log.at(&topic, partition, &[offset as i64]);
        let found = self.log.in_turn(ask).await?;
        Ok(found.first().map(|(_, record)| Print::again(record)))
    }
}

/// A member that was fenced must not try again (it would commit over its successor); everything
/// else passes once the coordinator is back.
///
/// An illegal generation is no such fence: a commit that crosses a rebalance on its way meets it
/// too, and in a cooperative rebalance no revocation follows for what this member keeps. Where
/// the group has really moved on, the client revokes everything as lost, which fences the
/// partitions; until then a retry carries the same old generation and is refused again.
fn classify(error: &KafkaError) -> CommitError {
    match error.rdkafka_error_code() {
        Some(
            Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::AssignmentLost
            | Code::Fenced,
        ) => CommitError::Fenced(error.to_string()),
        _ => CommitError::Retryable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use host::env::Reader;
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::producer::DefaultProducerContext;

    use super::*;
    use crate::config::{Config, VARS};

    /// Longer than an assignment waits.
    const SLOW: Duration = Duration::from_millis(2_500);

    #[test]
    fn a_coordinator_that_always_takes_longer_than_an_assignment_waits_is_understood() {
        let mock: MockCluster<'static, DefaultProducerContext> = MockCluster::new(2).unwrap();
        mock.create_topic("purchases", 1, 1).unwrap();
        mock.partition_leader("purchases", 0, Some(1)).unwrap();
        let servers = ("KAFKA_BOOTSTRAP_SERVERS", mock.bootstrap_servers());
        let topic = ("KAFKA_TOPIC", "purchases".to_owned());
        let env = [servers, topic].map(|(name, value)| (name.to_owned(), value));
        let env: HashMap<String, String> = env.into();
        let mut reader = Reader::new(VARS, &env);
        let read = Config::read(&mut reader);
        let config = reader.finish(|| read).unwrap().kafka;
        let group = MockCoordinator::Group(config.group_id.clone());
        mock.coordinator(group, 2).unwrap();
        let observer = Arc::new(Observer::new(&config).unwrap());
        let committer = KafkaCommitter::new((ConsumerSlot::default(), observer), &config);
        let known = |learnt: Learnt| (learnt.known.len(), learnt.unknown);
        let connects = std::iter::repeat_with(|| known(committer.standings(&[0])));
        assert!(connects.take(10).any(|(known, _)| known == 1));
        mock.broker_round_trip_time(2, SLOW).unwrap();
        assert_eq!(known(committer.standings(&[0])), (1, [].into()));
    }

    #[test]
    fn a_commit_of_a_member_that_is_none_any_more_is_never_retried() {
        for code in [
            Code::UnknownMemberId,
            Code::FencedInstanceId,
            Code::FencedMemberEpoch,
        ] {
            assert!(
                matches!(
                    classify(&KafkaError::ConsumerCommit(code)),
                    CommitError::Fenced(_)
                ),
                "{code}"
            );
        }
    }

    #[test]
    fn a_commit_that_met_a_moving_coordinator_or_crossed_a_rebalance_is_retried() {
        for code in [
            Code::IllegalGeneration,
            Code::StaleMemberEpoch,
            Code::NotCoordinator,
            Code::CoordinatorLoadInProgress,
            Code::RequestTimedOut,
            Code::RebalanceInProgress,
        ] {
            assert!(
                matches!(
                    classify(&KafkaError::ConsumerCommit(code)),
                    CommitError::Retryable(_)
                ),
                "{code}"
            );
        }
    }
}
