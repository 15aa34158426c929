//! The restocking stage: reads the catalog's file again when the operator asks for it.
//!
//! In: SIGHUP. Out: the new catalog on the shelf, all at once; or the old one stays, and the log and the
//! metrics say why. A bad file fails nothing: what was for sale stays for sale.

use std::path::PathBuf;
use std::sync::Arc;

use actors::{Cx, Failure, Stage};
use host::signal::Hangup;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::catalog::{Catalog, CatalogError};
use crate::metrics::Metrics;
use crate::shelf::Shelf;

/// Mailbox of the restocking stage.
pub enum RestockMsg {
    /// Read the file again.
    Asked,
    /// It is read.
    Read(Box<Result<Catalog, CatalogError>>),
    /// Nobody is listened to any more.
    Closed,
}

/// What the restocking stage is made of.
#[derive(Clone)]
pub struct Restock {
    /// The file; `None` while the built-in catalog is used.
    pub file: Option<PathBuf>,
    /// Where the catalog stands.
    pub shelf: Shelf,
    /// Told when to read again.
    pub hangup: Hangup,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

/// Reads the catalog again.
pub struct Restocker {
    args: Restock,
    open: Option<(CancellationToken, DropGuard)>,
}

impl Restocker {
    /// A restocker that listens once it is started.
    pub fn new(args: Restock) -> Self {
        Self { args, open: None }
    }

    /// Until told, or until the end.
    fn listen(&self, cx: &mut Cx<RestockMsg>) {
        if let Some((closing, _)) = &self.open {
            let (closing, hangup) = (closing.clone(), self.args.hangup.clone());
            cx.spawn(async move {
                tokio::select! {
                    biased;
                    () = closing.cancelled() => RestockMsg::Closed,
                    () = hangup.told() => RestockMsg::Asked,
                }
            });
        }
    }

    fn read(&self, cx: &mut Cx<RestockMsg>) {
        match self.args.file.clone() {
            Some(file) => {
                cx.spawn_blocking(move || RestockMsg::Read(Box::new(Catalog::load(&file))));
            }
            None => {
                tracing::info!(
                    "SIGHUP: CATALOG_FILE is not set, so there is nothing to read again"
                );
                self.listen(cx);
            }
        }
    }

    fn took(&self, read: Result<Catalog, CatalogError>) {
        let file = self
            .args
            .file
            .as_deref()
            .map(|path| path.display().to_string());
        let file = file.unwrap_or_default();
        match read {
            Ok(catalog) => {
                let (items, tag) = (catalog.items().len(), catalog.listing().tag().to_owned());
                let before = self.args.shelf.catalog().items().len();
                self.args.shelf.put(catalog);
                tracing::info!(
                    file,
                    items,
                    before,
                    tag,
                    "the catalog was read again and is in use"
                );
                self.args.metrics.restocked(true, items);
            }
            Err(errors) => {
                let items = self.args.shelf.catalog().items().len();
                let count = errors.flaws().len();
                tracing::error!(file, count, %errors, items, "the catalog is not valid: the one in use stays");
                self.args.metrics.restocked(false, items);
            }
        }
    }
}

impl Stage for Restocker {
    type Msg = RestockMsg;

    async fn started(&mut self, cx: &mut Cx<RestockMsg>) -> Result<(), Failure> {
        let closing = CancellationToken::new();
        self.open = Some((closing.clone(), closing.drop_guard()));
        let items = self.args.shelf.catalog().items().len();
        self.args.metrics.catalog_items(items);
        self.listen(cx);
        Ok(())
    }

    async fn handle(&mut self, msg: RestockMsg, cx: &mut Cx<RestockMsg>) -> Result<(), Failure> {
        match msg {
            RestockMsg::Asked => self.read(cx),
            // Listened to again only now: files are read one after the other, the newest last.
            RestockMsg::Read(read) => {
                self.took(*read);
                self.listen(cx);
            }
            RestockMsg::Closed => {}
        }
        Ok(())
    }

    async fn drained(&mut self, _: &mut Cx<RestockMsg>) -> Result<(), Failure> {
        // Dropping the guard ends the listening.
        self.open = None;
        Ok(())
    }
}
