//! The catalog as customers see it.
//!
//! In: the items, once. Out: the body of `/items` and its tag. Weights are the shop's own business.

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::Item;

/// Names and prices as JSON, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    body: Bytes,
    tag: String,
}

/// Something for sale.
#[derive(Serialize, ToSchema)]
#[schema(as = Item)]
pub(crate) struct ItemView<'a> {
    /// What it is called.
    #[schema(value_type = purchases::ItemName)]
    name: &'a purchases::ItemName,
    /// What it costs.
    price: purchases::Cents,
}

impl Listing {
    pub(super) fn new(items: &[Item]) -> Self {
        let items: Vec<_> = items
            .iter()
            .map(|item| ItemView {
                name: &item.name,
                price: item.price,
            })
            .collect();
        let body =
            Bytes::from(serde_json::to_vec(&items).expect("names and prices always serialize"));
        let tag = Sha256::digest(&body)[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self { body, tag }
    }

    /// The body.
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// A hash of the very bytes, in hexadecimal.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}
