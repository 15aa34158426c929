//! The document in collection `purchases`. The one place that knows its shape.

use std::time::SystemTime;

use bson::oid::ObjectId;
use bson::raw::cstr;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use purchases::{PurchaseId, Timestamp};

use crate::flow::{Incoming, Origin};

/// One encoded document. Encoded once, however often it is written.
#[derive(Clone, Debug)]
pub struct PurchaseDocument {
    id: PurchaseId,
    origin: Origin,
    created_at: Timestamp,
    raw: RawDocumentBuf,
}

impl PurchaseDocument {
    /// Encodes a purchase; `created_at` is now.
    pub(crate) fn new(incoming: &Incoming) -> Self {
        let purchase = &incoming.purchase;
        let origin = &incoming.origin;
        let created_at = Timestamp::from(SystemTime::now());
        let mut place = empty(ORIGIN_BYTES);
        place.append(cstr!("topic"), &*origin.topic);
        place.append(cstr!("partition"), origin.partition);
        place.append(cstr!("offset"), origin.offset);
        let mut raw = empty(DOCUMENT_BYTES);
        let id = ObjectId::from_bytes(*purchase.id().as_bytes());
        raw.append(cstr!("_id"), id);
        raw.append(cstr!("username"), purchase.username().as_str());
        raw.append(cstr!("user_id"), purchase.user_id().as_str());
        raw.append(cstr!("item_name"), purchase.item_name().as_str());
        raw.append(cstr!("price"), purchase.price().as_f64());
        raw.append(cstr!("timestamp"), date(purchase.timestamp()));
        raw.append(cstr!("created_at"), date(created_at));
        raw.append(cstr!("origin"), &place);
        Self {
            id: purchase.id(),
            origin: origin.clone(),
            created_at,
            raw,
        }
    }

    /// The document's `_id`.
    pub fn id(&self) -> PurchaseId {
        self.id
    }

    /// The record it came in.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// When it is stored, if it is the first of its `_id`.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The bytes that go to the database.
    pub(crate) fn raw(&self) -> &RawDocumentBuf {
        &self.raw
    }
}

/// Room for most documents, so that their bytes are not moved while they grow: half of the cost of
/// encoding one.
const DOCUMENT_BYTES: usize = 320;
/// The same for the place it came from.
const ORIGIN_BYTES: usize = 96;

/// A document without fields that has room for some.
fn empty(room: usize) -> RawDocumentBuf {
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(RawDocumentBuf::new().as_bytes());
    RawDocumentBuf::from_bytes(bytes).unwrap_or_default()
}

/// A moment as BSON has it.
pub(crate) fn date(moment: Timestamp) -> DateTime {
    DateTime::from_millis(moment.as_millis())
}

/// Keys of the one index beside `_id`. It serves a user's history newest first; item and price
/// ride along so that a user's totals are answered from the index alone; and with `user_id` in
/// front it is the index a sharded collection asks for.
pub(crate) fn history_index() -> Document {
    doc! { "user_id": 1, "timestamp": -1, "_id": -1, "item_name": 1, "price": 1 }
}

/// The name of that index.
pub(crate) const HISTORY: &str = "history";

/// What the server refuses to store as a purchase. What it lets pass, the queries can read; more
/// fields may be there, for a later version or another writer, who also need not tell an origin.
pub(crate) fn validator() -> Document {
    let name = || doc! { "bsonType": "string", "minLength": 1, "maxLength": 100 };
    doc! { "$jsonSchema": {
        "bsonType": "object",
        "required": ["_id", "username", "user_id", "item_name", "price", "timestamp", "created_at"],
        "properties": {
            "_id": { "bsonType": "objectId" },
            "username": name(),
            "user_id": name(),
            "item_name": name(),
            "price": { "bsonType": "double", "minimum": 0 },
            "timestamp": { "bsonType": "date" },
            "created_at": { "bsonType": "date" },
            "origin": {
                "bsonType": "object",
                "required": ["topic", "partition", "offset"],
                "properties": {
                    "topic": { "bsonType": "string" },
                    "partition": { "bsonType": "int" },
                    "offset": { "bsonType": "long" },
                },
            },
        },
    } }
}

/// A field of a stored document that is not as this service writes it.
#[derive(Debug, thiserror::Error)]
#[error("stored document {id}: field {field} is missing or has another type")]
pub struct Malformed {
    /// The document's `_id`.
    pub id: String,
    /// The field.
    pub field: &'static str,
}

/// What is asked of a stored document whose `_id` comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    user_id: Option<String>,
    /// `None` where somebody else wrote the document: then no record of ours was first.
    pub(crate) first: Option<First>,
}

impl Known {
    /// The fields that [`read`](Self::read) needs.
    pub(crate) fn projection() -> Document {
        doc! { "user_id": 1, "origin": 1, "created_at": 1 }
    }

    pub(crate) fn read(document: &Document) -> Self {
        Self {
            user_id: document.get_str("user_id").ok().map(str::to_owned),
            first: First::read(document),
        }
    }

    /// Whether both are of the same user.
    pub(crate) fn is_of(&self, document: &PurchaseDocument) -> bool {
        let user_id = document.raw().get_str("user_id").ok();
        self.user_id.as_deref() == user_id
    }
}

/// Who was first: the record that a stored document came in, and when that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct First {
    topic: String,
    partition: i32,
    offset: i64,
    created_at: Timestamp,
}

impl First {
    fn read(document: &Document) -> Option<Self> {
        let origin = document.get_document("origin").ok()?;
        Some(Self {
            topic: origin.get_str("topic").ok()?.to_owned(),
            partition: origin.get_i32("partition").ok()?,
            offset: origin.get_i64("offset").ok()?,
            created_at: moment(document, "created_at").ok()?,
        })
    }

    /// The moment of storing, if it was this very record that was stored.
    pub(crate) fn if_from(&self, origin: &Origin) -> Option<Timestamp> {
        let same = *self.topic == *origin.topic
            && self.partition == origin.partition
            && self.offset == origin.offset;
        same.then_some(self.created_at)
    }
}

/// Reads a text field.
pub(crate) fn text<'d>(document: &'d Document, field: &'static str) -> Result<&'d str, Malformed> {
    document
        .get_str(field)
        .map_err(|_| malformed(document, field))
}

/// Reads a date field.
pub(crate) fn moment(document: &Document, field: &'static str) -> Result<Timestamp, Malformed> {
    let date = document
        .get_datetime(field)
        .map_err(|_| malformed(document, field))?;
    Timestamp::from_millis(date.timestamp_millis()).ok_or_else(|| malformed(document, field))
}

/// Reads the `_id`.
pub(crate) fn id(document: &Document) -> Result<PurchaseId, Malformed> {
    let id = document
        .get_object_id("_id")
        .map_err(|_| malformed(document, "_id"))?;
    Ok(PurchaseId::from_bytes(id.bytes()))
}

pub(crate) fn malformed(document: &Document, field: &'static str) -> Malformed {
    Malformed {
        id: document
            .get("_id")
            .map_or_else(|| "without _id".to_owned(), Bson::to_string),
        field,
    }
}

/// A document as this service writes it.
#[cfg(test)]
pub(crate) fn sample() -> Document {
    let event = purchases::Event {
        username: purchases::Username::parse("john").unwrap(),
        user_id: purchases::UserId::parse("u1").unwrap(),
        item_name: purchases::ItemName::parse("Laptop").unwrap(),
        price: purchases::Cents::new(99_999).unwrap(),
        timestamp: Timestamp::from_millis(0).unwrap(),
    };
    let purchase = purchases::Purchase::new(PurchaseId::from_bytes([7; 12]), event);
    let origin = Origin {
        topic: std::sync::Arc::from("purchases"),
        partition: 2,
        offset: 5,
    };
    let document = PurchaseDocument::new(&Incoming {
        purchase,
        origin,
        came_back: false,
        span: host::span::Span::none(),
    });
    Document::try_from(document.raw().as_ref()).unwrap()
}
