//! Who leads which partition. In: a topic; out: its leaders, or an election of those that are meant
//! to lead.

use super::Stack;
use crate::broker;
use crate::error::StackError;
use crate::wire::kafka;

impl Stack {
    /// Which broker leads each partition, counted from 0, in the order of partitions. `None` while
    /// there is no leader.
    pub async fn leading(&self, topic: &str) -> Result<Vec<Option<usize>>, StackError> {
        let told = self.led(topic).await.map_err(refused("leaders", topic))?;
        let index =
            |leader| (0..self.brokers.len()).find(|index| broker::node_id(*index) == leader);
        Ok(told
            .into_iter()
            .map(|(_, leader, _)| index(leader))
            .collect())
    }

    /// Gives each partition back to the broker that leads it by the order of its replicas: after
    /// brokers went and came, others do. True once all of them are led so; a broker that has not
    /// caught up yet cannot be elected, so ask again.
    pub async fn elect_preferred(&self, topic: &str) -> Result<bool, StackError> {
        let refused = refused("electing leaders", topic);
        let partitions = self.led(topic).await.map_err(&refused)?;
        let partitions: Vec<i32> = partitions.iter().map(|(number, ..)| *number).collect();
        let mut last = "no broker is running".to_owned();
        for address in self.live_brokers() {
            match kafka::elect_preferred(&address, topic, &partitions).await {
                // A request that names a partition is answered for it, unless there was no need.
                Ok(elections) => {
                    let led = |code| code == 0 || code == kafka::ELECTION_NOT_NEEDED;
                    return Ok(elections.iter().all(|(_, code)| led(*code)));
                }
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(refused(last))
    }

    /// The address of each partition's leader, behind any proxy, in the order of partitions.
    pub(crate) async fn leaders(&self, topic: &str) -> Result<Vec<(i32, String)>, String> {
        let led = self.led(topic).await?;
        let each = led.into_iter().map(|(partition, leader, told)| {
            let ours = self
                .brokers
                .iter()
                .enumerate()
                .find(|(index, _)| broker::node_id(*index) == leader);
            let address = match ours {
                Some((_, part)) if part.is_ours() => Some(part.address().to_owned()),
                _ => told,
            };
            let address = address.ok_or(format!("partition {partition} has no leader"))?;
            Ok((partition, address))
        });
        each.collect()
    }

    /// Each partition, the id of its leader, and the address that clients are told for it.
    async fn led(&self, topic: &str) -> Result<Vec<(i32, i32, Option<String>)>, String> {
        let mut last = "no broker is running".to_owned();
        for address in self.live_brokers() {
            let metadata = match kafka::metadata(&address, &[topic]).await {
                Ok(metadata) => metadata,
                Err(error) => {
                    last = format!("{address}: {error}");
                    continue;
                }
            };
            let Some(found) = metadata
                .topics
                .into_iter()
                .find(|found| found.name == topic && found.error == 0)
            else {
                return Err("no such topic".to_owned());
            };
            let brokers = metadata.brokers;
            let told = |leader| brokers.iter().find(|(id, _)| *id == leader).cloned();
            let mut led: Vec<_> = (found.leaders.into_iter())
                .map(|(partition, leader)| {
                    (partition, leader, told(leader).map(|(_, address)| address))
                })
                .collect();
            led.sort();
            return Ok(led);
        }
        Err(last)
    }
}

fn refused(what: &str, topic: &str) -> impl Fn(String) -> StackError {
    let what = format!("{what} of {topic}");
    move |detail| StackError::Refused {
        what: what.clone(),
        detail,
    }
}
