//! The selection stage: gives every order its item.
//!
//! In: orders from intake. Out: whole purchases to publish. It answers nobody itself except where
//! publish takes nothing; it knows neither HTTP nor Kafka.

use actors::{Addr, Cx, Failure, Stage, Undelivered};
use purchases::{Event, Purchase};

use crate::flow::{Chosen, Order, PublishMsg, Unsold};
use crate::replay::Choice;
use crate::shelf::{Shelf, View};

/// Chooses items.
pub struct ItemSelector {
    shelf: View,
    publish: Addr<PublishMsg>,
}

impl ItemSelector {
    /// A selector from the catalog on this shelf.
    pub fn new(shelf: &Shelf, publish: Addr<PublishMsg>) -> Self {
        Self {
            shelf: shelf.view(),
            publish,
        }
    }

    /// What an earlier try under the same key chose, else what the catalog gives this id.
    fn choose(&mut self, order: &mut Order) -> Choice {
        let (id, accepted) = (order.id, order.accepted);
        let mut fresh = || Choice {
            item: self.shelf.catalog().choose(id).clone(),
            accepted,
        };
        let Some(claim) = order.ticket.claim() else {
            return fresh();
        };
        let choice = claim.choice().cloned().unwrap_or_else(fresh);
        claim.chose(choice.clone());
        choice
    }
}

impl Stage for ItemSelector {
    type Msg = Box<Order>;

    async fn handle(&mut self, order: Box<Order>, _: &mut Cx<Box<Order>>) -> Result<(), Failure> {
        let mut order = *order;
        let Choice { item, accepted } = self.choose(&mut order);
        let event = Event {
            username: order.username,
            user_id: order.user_id,
            item_name: item.name,
            price: item.price,
            timestamp: accepted,
        };
        let chosen = Box::new(Chosen {
            purchase: Purchase::new(order.id, event),
            origin: order.origin,
            ticket: order.ticket,
        });
        if let Err(Undelivered(PublishMsg::Publish(chosen))) =
            self.publish.send(PublishMsg::Publish(chosen))
        {
            chosen.ticket.answer(Err(Unsold::NotStored(
                "the Kafka producer is being replaced".to_owned(),
            )));
        }
        Ok(())
    }
}
