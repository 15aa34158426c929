//! What is for sale.
//!
//! In: a JSON array of `{"name", "price"}`, each with a `"weight"` or none, from `CATALOG_FILE` or built
//! in. Out: items that are valid by construction, and by which odds they are chosen; or every error of
//! the file at once, each by its place. Never changes: another catalog is another value. Every replica
//! must be given the same one, or a retry could meet another.

use purchases::{Cents, ItemName, PurchaseId};

use crate::selection::Odds;

mod error;
mod file;
mod listing;
#[cfg(test)]
mod tests;

pub use error::{CatalogError, Flaw};
pub(crate) use listing::ItemView;
pub use listing::Listing;

/// Most items of a catalog.
pub const MAX_ITEMS: usize = 10_000;

/// One thing for sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is called.
    pub name: ItemName,
    /// What it costs.
    pub price: Cents,
}

/// Everything for sale, in the order of its file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    items: Vec<Item>,
    odds: Odds,
    listing: Listing,
}

impl Catalog {
    /// The catalog for which no file is needed.
    ///
    /// # Panics
    ///
    /// If the built-in file is invalid, which a test excludes.
    pub fn built_in() -> Self {
        Self::parse(include_bytes!("catalog.json")).expect("the built-in catalog is valid")
    }

    /// Reads and checks a catalog.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, CatalogError> {
        let (items, odds) = file::parse(json)?;
        let listing = Listing::new(&items);
        Ok(Self {
            items,
            odds,
            listing,
        })
    }

    /// The item that this purchase is of: always the same for the same id.
    pub fn choose(&self, id: PurchaseId) -> &Item {
        &self.items[self.odds.position(id)]
    }

    /// All items in their order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The list that customers see.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }
}
