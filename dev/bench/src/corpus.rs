//! The purchases of a backlog, made from their number alone: every process that needs record 42
//! makes the same one. In: a number; out: a purchase, its record, its document.
//! The document's form is consumer-svc's; `drain` compares the two after every run.

use std::ops::Range;

use bson::oid::ObjectId;
use bson::{DateTime, Document, RawDocumentBuf, doc, rawdoc};
use purchases::{Cents, Event, ItemName, Purchase, PurchaseId, Timestamp, UserId, Username, wire};

use crate::Failure;

/// The first and the last so many of a backlog are looked for to see it begin and end. They are
/// of as many users, so every partition's first and last are among them.
const SENTINELS: u32 = 32;
/// Name of the one index beside `_id`.
pub(crate) const INDEX: &str = "history";
/// Purchases of one user in the backlog, so that the index grows in many places as it does in life.
const EACH_USER: u32 = 50;
/// When the first of them was accepted; the others follow by a millisecond each.
const BEGIN_MS: i64 = 1_767_225_600_000;

const ITEMS: [(&str, i64); 8] = [
    ("Laptop", 99_999),
    ("Smartphone", 69_999),
    ("Headphones", 14_999),
    ("Keyboard", 7_999),
    ("Desk Lamp", 3_999),
    ("Coffee Mug", 1_299),
    ("Office Chair", 24_999),
    ("USB Cable", 999),
];

/// Purchase `number` of `records`.
pub(crate) fn purchase(number: u32, records: u32) -> Result<Purchase, Failure> {
    // A step without a divisor in common with the number of users visits them in turn, but not in order.
    let users = (records / EACH_USER).max(1);
    let user = (u64::from(number) * 7_919) % u64::from(users);
    let (item, cents) = ITEMS[number as usize % ITEMS.len()];
    let millis = BEGIN_MS + i64::from(number);
    let event = Event {
        username: Username::parse(&format!("customer {user:06}"))?,
        user_id: UserId::parse(&format!("user_{user:06}"))?,
        item_name: ItemName::parse(item)?,
        price: Cents::new(cents).ok_or("a price of the corpus is not one")?,
        timestamp: Timestamp::from_millis(millis).ok_or("a time of the corpus is not one")?,
    };
    Ok(Purchase::new(id(number, millis), event))
}

/// Laid out like those of the service: seconds, five bytes of the process, a counter.
fn id(number: u32, millis: i64) -> PurchaseId {
    let seconds = u32::try_from(millis / 1000)
        .unwrap_or_default()
        .to_be_bytes();
    let [high, counter @ ..] = number.to_be_bytes();
    let mut bytes = [
        0xb5, 0xb5, 0xb5, 0xb5, 0xb5, 0xb5, 0xb5, 0xb5, high, 0, 0, 0,
    ];
    bytes[..4].copy_from_slice(&seconds);
    bytes[9..].copy_from_slice(&counter);
    PurchaseId::from_bytes(bytes)
}

/// The same purchase as consumer-svc stores it.
pub(crate) fn document(number: u32, records: u32) -> Result<RawDocumentBuf, Failure> {
    let purchase = purchase(number, records)?;
    Ok(rawdoc! {
        "_id": object_id(&purchase),
        "username": purchase.username().as_str(),
        "user_id": purchase.user_id().as_str(),
        "item_name": purchase.item_name().as_str(),
        "price": purchase.price().as_f64(),
        "timestamp": DateTime::from_millis(purchase.timestamp().as_millis()),
        "created_at": DateTime::now(),
        "origin": { "topic": topic(records), "partition": (number % 3) as i32, "offset": i64::from(number / 3) },
    })
}

/// The topic that holds the events of a backlog of this size.
fn topic(records: u32) -> String {
    format!("drain-{records}")
}

/// What a record's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// The event, as producer-svc writes it.
    Event,
    /// The finished document as JSON, for those who only store.
    Document,
}

/// Records that wait to be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Backlog {
    /// What they are.
    pub(crate) form: Form,
    /// How many there are.
    pub(crate) records: u32,
}

impl Backlog {
    /// The topic they are in.
    pub(crate) fn topic(self) -> String {
        match self.form {
            Form::Event => topic(self.records),
            Form::Document => format!("{}-documents", topic(self.records)),
        }
    }

    /// The value of a purchase's record.
    pub(crate) fn value(self, number: u32, purchase: &Purchase) -> Vec<u8> {
        match self.form {
            Form::Event => wire::encode_value(purchase),
            Form::Document => finished(number, self.records, purchase).into_bytes(),
        }
    }
}

/// [`document`] in MongoDB's JSON, in the types that it has.
fn finished(number: u32, records: u32, purchase: &Purchase) -> String {
    format!(
        r#"{{"_id":{{"$oid":"{}"}},"username":"{}","user_id":"{}","item_name":"{}","price":{},"timestamp":{{"$date":{}}},"created_at":{{"$date":{}}},"origin":{{"topic":"{}","partition":{},"offset":{{"$numberLong":"{}"}}}}}}"#,
        purchase.id(),
        purchase.username().as_str(),
        purchase.user_id().as_str(),
        purchase.item_name().as_str(),
        purchase.price(),
        purchase.timestamp().as_millis(),
        DateTime::now().timestamp_millis(),
        topic(records),
        number % 3,
        number / 3,
    )
}

/// Numbers of the purchases that show the beginning of a backlog being stored.
pub(crate) fn first(records: u32) -> Range<u32> {
    0..SENTINELS.min(records)
}

/// Numbers of the purchases that show its end.
pub(crate) fn last(records: u32) -> Range<u32> {
    records.saturating_sub(SENTINELS)..records
}

/// A purchase's `_id`.
pub(crate) fn object_id(purchase: &Purchase) -> ObjectId {
    ObjectId::from_bytes(*purchase.id().as_bytes())
}

/// What the service has the collection hold its documents against. It costs the database something with
/// every document, so everybody's are.
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

/// Keys of the index.
pub(crate) fn index_keys() -> Document {
    doc! { "user_id": 1, "timestamp": -1, "_id": -1, "item_name": 1, "price": 1 }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{EACH_USER, purchase};

    #[test]
    fn ids_differ_and_users_share_evenly() {
        let records = 10_000;
        let all: Vec<_> = (0..records)
            .map(|number| purchase(number, records).unwrap())
            .collect();
        let ids: BTreeSet<_> = all.iter().map(|purchase| purchase.id()).collect();
        assert_eq!(ids.len(), all.len());
        let mut users = BTreeMap::<_, u32>::new();
        for purchase in &all {
            *users.entry(purchase.user_id().as_str()).or_default() += 1;
        }
        assert!(
            users.values().all(|&count| count == EACH_USER),
            "{} users",
            users.len()
        );
    }

    #[test]
    fn a_number_makes_the_same_purchase_in_every_process() {
        let purchase = purchase(42, 500).unwrap();
        assert_eq!(purchase.id().to_string(), "6955b900b5b5b5b50000002a");
        assert_eq!(purchase.user_id().as_str(), "user_000008");
    }
}
