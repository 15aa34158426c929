//! The catalog in use, which may be exchanged while the service runs.
//!
//! In: a whole catalog. Out: the same to everybody from then on: what is listed and what is chosen
//! from are exchanged together. Nobody waits, neither who reads nor who exchanges.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use crate::catalog::Catalog;

/// The place of the catalog; clones share it.
#[derive(Clone, Debug)]
pub struct Shelf(Arc<ArcSwap<Catalog>>);

impl Shelf {
    /// A shelf with this catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(catalog)))
    }

    /// Puts another catalog in its place.
    pub fn put(&self, catalog: Catalog) {
        self.0.store(Arc::new(catalog));
    }

    /// The catalog.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.0.load_full()
    }

    /// A view of its own for who looks often: it costs one comparison while nothing changes.
    pub fn view(&self) -> View {
        View(Cache::new(Arc::clone(&self.0)))
    }
}

/// One reader's view.
#[derive(Debug)]
pub struct View(Cache<Arc<ArcSwap<Catalog>>, Arc<Catalog>>);

impl View {
    /// The catalog.
    pub fn catalog(&mut self) -> &Catalog {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_sees_the_new_catalog_and_who_holds_the_old_one_keeps_it() {
        let shelf = Shelf::new(Catalog::built_in());
        let (mut view, held) = (shelf.view(), shelf.catalog());
        assert_eq!(view.catalog().items().len(), held.items().len());
        shelf
            .clone()
            .put(Catalog::parse(br#"[{"name": "A", "price": 1}]"#).unwrap());
        assert_eq!(view.catalog().items().len(), 1);
        assert_eq!(shelf.catalog().items().len(), 1);
        assert_eq!(*held, Catalog::built_in());
    }
}
