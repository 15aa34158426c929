//! The selection stage: gives every order its item.
//!
//! In: orders from intake. Out: whole purchases to publish. It answers nobody itself except where
//! publish takes nothing; it knows neither HTTP nor Kafka.

use std::sync::Arc;

use actors::{Addr, Cx, Failure, Stage, Undelivered};
use purchases::{Event, Purchase};

use crate::catalog::Catalog;
use crate::flow::{Chosen, Order, PublishMsg, Unsold};

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
}

impl Stage for ItemSelector {
    type Msg = Order;

    async fn handle(&mut self, order: Order, _: &mut Cx<Order>) -> Result<(), Failure> {
        let item = self.catalog.choose(order.id);
        let event = Event {
            username: order.username,
            user_id: order.user_id,
            item_name: item.name.clone(),
            price: item.price,
            timestamp: order.accepted,
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
