//! Index and validator in MongoDB: what is asked, what is made, and what the answers mean.

use std::time::Duration;

use actors::Credits;
use bson::{Bson, Document, doc};
use mongodb::{Client, Database};

use super::{Found, Part, SchemaStore};
use crate::document::{HISTORY, history_index, validator};
use crate::mongo::{Answers, Failed, UNAUTHORIZED, command_code};

/// The server's codes: no such collection; the collection is there; an index with the same keys, or
/// with the same name, is there.
const NO_COLLECTION: i32 = 26;
const COLLECTION_EXISTS: i32 = 48;
const SAME_KEYS: i32 = 85;
const SAME_NAME: i32 = 86;
/// What a server says that does not know a command or an option of it, or does not let us use it:
/// unauthorized (13), type or value it does not take (2, 9, 14, 72), command unknown or not supported
/// (59, 115), a field that is not known (40415), an operator in a validator that is not (51075).
const REFUSED: [i32; 9] = [2, 9, 13, 14, 59, 72, 115, 40_415, 51_075];
/// What an index is beside its keys. Another value than none makes another index of it.
const OPTIONS: [&str; 7] = [
    "unique",
    "sparse",
    "partialFilterExpression",
    "expireAfterSeconds",
    "collation",
    "hidden",
    "wildcardProjection",
];

/// One collection.
#[derive(Clone)]
pub struct MongoSchema {
    database: Database,
    collection: String,
    answers: Answers,
}

impl MongoSchema {
    /// `deadline` bounds the wait for one answer. An index that takes longer is made all the same,
    /// and found by a later look.
    pub fn new(client: &Client, (database, collection): (&str, &str), deadline: Duration) -> Self {
        Self {
            database: client.database(database),
            collection: collection.to_owned(),
            answers: Answers::new("mongodb_schema", deadline, 2),
        }
    }

    /// The bound of what waits for an answer of the database, to be shown.
    pub fn pending(&self) -> &Credits {
        self.answers.pending()
    }

    async fn run(&self, command: Document) -> Result<Document, Failed> {
        let database = self.database.clone();
        let run = async move { database.run_command(command).await };
        self.answers.to(run).await
    }

    async fn index(&self) -> Result<Found, String> {
        let listed = self.run(doc! { "listIndexes": &self.collection }).await;
        let there = match listed {
            Ok(answer) => first_batch(&answer),
            Err(failed) if code(&failed) == Some(NO_COLLECTION) => Vec::new(),
            Err(failed) => return Err(failed.to_string()),
        };
        if let Some(found) = judge_index(&there) {
            return Ok(found);
        }
        let index = doc! { "name": HISTORY, "key": history_index() };
        let create = doc! { "createIndexes": &self.collection, "indexes": [index] };
        match self.run(create).await {
            Ok(_) => Ok(Found::Made),
            // Somebody else made one since we looked: it is looked at the next time.
            Err(failed) => match code(&failed) {
                Some(SAME_KEYS | SAME_NAME) => Ok(Found::Differs(failed.to_string())),
                Some(UNAUTHORIZED) => Err(format!(
                    "the index {HISTORY} is missing: {failed}; or make it as a user who may: {}",
                    by_hand(&self.collection)
                )),
                _ => Err(failed.to_string()),
            },
        }
    }

    async fn validator(&self) -> Result<Found, Failed> {
        let listed = doc! { "listCollections": 1, "filter": { "name": &self.collection } };
        let there = first_batch(&self.run(listed).await?);
        let rules = rules();
        let command = match there.first() {
            None => "create",
            Some(there) => match judge_validator(there) {
                Some(found) => return Ok(found),
                None => "collMod",
            },
        };
        let mut make = doc! { command: &self.collection };
        make.extend(rules);
        match self.run(make).await {
            Ok(_) => Ok(Found::Made),
            Err(failed) => match code(&failed) {
                Some(code) if REFUSED.contains(&code) => Ok(Found::Refused(failed.to_string())),
                Some(COLLECTION_EXISTS) => Ok(Found::Differs(failed.to_string())),
                _ => Err(failed),
            },
        }
    }
}

impl SchemaStore for MongoSchema {
    async fn ensure(&self, part: Part) -> Result<Found, String> {
        match part {
            Part::Index => self.index().await,
            Part::Validator => {
                let found = self.validator().await;
                found.map_err(|failed| failed.to_string())
            }
        }
    }
}

/// The index as somebody makes it in the database's shell.
fn by_hand(collection: &str) -> String {
    format!(
        "db.getCollection(\"{collection}\").createIndex({}, {{ name: \"{HISTORY}\" }})",
        history_index()
    )
}

/// What the collection is given. A document that is not as it should be is refused when it is
/// written; one that was there before may still be mended step by step.
fn rules() -> Document {
    doc! { "validator": validator(), "validationLevel": "moderate", "validationAction": "error" }
}

/// `None` where there is none that serves, or that has its name.
fn judge_index(there: &[Document]) -> Option<Found> {
    let wanted = history_index();
    let keys = |index: &Document| index.get_document("key").cloned().unwrap_or_default();
    let named = there
        .iter()
        .find(|index| index.get_str("name").is_ok_and(|name| name == HISTORY));
    // Under whichever name, the same keys are the same index.
    let index = named.or_else(|| there.iter().find(|index| alike(&keys(index), &wanted)))?;
    let options: Vec<_> = OPTIONS
        .into_iter()
        .filter(|option| is_set(index.get(option)))
        .collect();
    if alike(&keys(index), &wanted) && options.is_empty() {
        return Some(Found::AsWanted);
    }
    Some(Found::Differs(format!(
        "there is {index}, wanted are the keys {wanted} and no options"
    )))
}

/// `None` where there is no validator.
fn judge_validator(collection: &Document) -> Option<Found> {
    let options = collection.get_document("options").ok();
    let there = options.and_then(|options| options.get_document("validator").ok());
    let there = there.filter(|validator| !validator.is_empty())?;
    let rule = |name, default| {
        let set = options.and_then(|options| options.get_str(name).ok());
        set.unwrap_or(default).to_owned()
    };
    let level = rule("validationLevel", "strict");
    let action = rule("validationAction", "error");
    if *there == validator() && level == "moderate" && action == "error" {
        return Some(Found::AsWanted);
    }
    Some(Found::Differs(format!(
        "there is {there} ({level}, {action}), wanted is {} (moderate, error)",
        validator()
    )))
}

fn is_set(option: Option<&Bson>) -> bool {
    !matches!(option, None | Some(Bson::Null | Bson::Boolean(false)))
}

/// The same fields in the same order, whichever number type the server writes 1 and -1 in.
fn alike(one: &Document, other: &Document) -> bool {
    let number = |value: &Bson| match value {
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        _ => None,
    };
    let fields = |document: &Document| -> Vec<(String, Option<f64>)> {
        let fields = document.iter();
        fields
            .map(|(name, value)| (name.clone(), number(value)))
            .collect()
    };
    fields(one) == fields(other)
}

/// Of a cursor. A collection has at most 64 indexes, which fit into the first answer.
fn first_batch(answer: &Document) -> Vec<Document> {
    let cursor = answer.get_document("cursor");
    let batch = cursor.and_then(|cursor| cursor.get_array("firstBatch"));
    let batch = batch.into_iter().flatten();
    batch
        .filter_map(|each| each.as_document().cloned())
        .collect()
}

fn code(failed: &Failed) -> Option<i32> {
    match failed {
        Failed::Answered(error) => command_code(error),
        Failed::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests;
