//! The selection stage: gives every order its item.
//!
//! In: orders from intake. Out: whole purchases to publish. It answers nobody itself except where
//! publish takes nothing; it knows neither HTTP nor Kafka.

use std::sync::Arc;

use actors::{Addr, Cx, Failure, Stage, Undelivered};
use purchases::{Event, Purchase};

use crate::catalog::Catalog;
use crate::flow::{Chosen, Order, PublishMsg, Unsold};
use crate::replay::Choice;

/// Chooses items.
pub struct ItemSelector {
    catalog: Arc<Catalog>,
    publish: Addr<PublishMsg>,
}

impl ItemSelector {
    /// A selector from this catalog.
    pub fn new(catalog: Arc<Catalog>, publish: Addr<PublishMsg>) -> Self {
        Self { catalog, publish }
    }

    /// What an earlier try under the same key chose, else what the catalog gives this id.
    fn choose(&self, order: &mut Order) -> Choice {
        let fresh = |id| Choice {
            item: self.catalog.choose(id).clone(),
            accepted: order.accepted,
        };
        let Some(claim) = order.ticket.claim() else {
            return fresh(order.id);
        };
        let choice = claim.choice().cloned().unwrap_or_else(|| fresh(order.id));
        claim.chose(choice.clone());
        choice
    }
}

impl Stage for ItemSelector {
    type Msg = Order;

    async fn handle(&mut self, mut order: Order, _: &mut Cx<Order>) -> Result<(), Failure> {
        let Choice { item, accepted } = self.choose(&mut order);
        let event = Event {
            username: order.username,
            user_id: order.user_id,
            item_name: item.name,
            price: item.price,
            timestamp: accepted,
        };
        let chosen = Chosen {
            purchase: Purchase::new(order.id, event),
            origin: order.origin,
            ticket: order.ticket,
        };
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
