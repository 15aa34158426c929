//! What is asked of the server, and what its answers mean.

use super::*;
use crate::mongo::fake::{Script, Server};

fn cursor(batch: Vec<Document>) -> Document {
    doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": "shop.purchases", "firstBatch": batch } }
}

fn refusal(code: i32) -> Document {
    doc! { "ok": 0, "code": code, "codeName": "Told", "errmsg": "as the script says" }
}

fn history(more: Document) -> Document {
    let mut index = doc! { "v": 2, "key": history_index(), "name": HISTORY };
    index.extend(more);
    index
}

/// The collection as the server lists it.
fn listed(options: Document) -> Document {
    cursor(vec![
        doc! { "name": "purchases", "type": "collection", "options": options },
    ])
}

/// What is found where the server answers so, and the commands that were sent.
async fn ensured(part: Part, answers: Vec<Document>) -> (Result<Found, String>, Vec<Document>) {
    let server = Server::start(Script {
        others: answers.into(),
        ..Script::default()
    })
    .await;
    let schema = MongoSchema::new(
        &server.client,
        ("shop", "purchases"),
        Duration::from_secs(10),
    );
    let found = schema.ensure(part).await;
    (found, server.asked())
}

#[tokio::test]
async fn a_missing_index_is_made_with_its_collection() {
    for nothing in [refusal(NO_COLLECTION), cursor(vec![])] {
        let (found, asked) = ensured(Part::Index, vec![nothing, doc! { "ok": 1 }]).await;
        assert_eq!(found, Ok(Found::Made));
        let made = asked[1].get_array("indexes").unwrap();
        let index = doc! { "name": "history", "key": history_index() };
        assert_eq!(asked[1].get_str("createIndexes").ok(), Some("purchases"));
        assert_eq!(made, &vec![Bson::from(index)]);
    }
}

#[tokio::test]
async fn an_index_that_is_there_is_not_made_again_whatever_its_name() {
    let mut doubles = Document::new();
    for (field, direction) in history_index() {
        doubles.insert(field, direction.as_i32().map(f64::from));
    }
    let other = [
        history(Document::new()),
        history(doc! { "unique": false, "sparse": Bson::Null }),
        doc! { "v": 2, "key": doubles, "name": "by_hand" },
    ];
    for index in other {
        let (found, asked) = ensured(Part::Index, vec![cursor(vec![index])]).await;
        assert_eq!((found, asked.len()), (Ok(Found::AsWanted), 1));
    }
}

#[tokio::test]
async fn an_index_of_another_form_is_reported_and_neither_dropped_nor_made() {
    let mut reversed: Vec<_> = history_index().into_iter().collect();
    reversed.reverse();
    let reversed = Document::from_iter(reversed);
    for index in [
        doc! { "v": 2, "key": { "user_id": 1 }, "name": HISTORY },
        doc! { "v": 2, "key": reversed, "name": HISTORY },
        history(doc! { "unique": true }),
        history(doc! { "partialFilterExpression": { "price": { "$gt": 5 } } }),
        history(doc! { "expireAfterSeconds": 3600 }),
        history(doc! { "hidden": true }),
    ] {
        let (found, asked) = ensured(Part::Index, vec![cursor(vec![index.clone()])]).await;
        let told = matches!(&found, Ok(Found::Differs(how)) if how.contains(&index.to_string()));
        assert!(told && asked.len() == 1, "{index}: {found:?}");
    }
    // Made by somebody else between our look and our wish.
    let (found, _) = ensured(Part::Index, vec![cursor(vec![]), refusal(SAME_NAME)]).await;
    assert!(matches!(found, Ok(Found::Differs(_))), "{found:?}");
}

#[tokio::test]
async fn a_missing_index_that_its_user_may_not_make_is_told_of_with_the_command_that_makes_it() {
    let (found, _) = ensured(Part::Index, vec![cursor(vec![]), refusal(UNAUTHORIZED)]).await;
    let why = found.unwrap_err();
    for part in [
        "the index history is missing",
        "grant readWrite",
        r#"db.getCollection("purchases").createIndex({ "user_id": 1, "timestamp": -1, "_id": -1, "item_name": 1, "price": 1 }, { name: "history" })"#,
    ] {
        assert!(why.contains(part), "{part} in {why}");
    }
    // Where it is there, nobody asks for that right.
    let there = cursor(vec![history(Document::new())]);
    let (found, asked) = ensured(Part::Index, vec![there, refusal(UNAUTHORIZED)]).await;
    assert_eq!((found, asked.len()), (Ok(Found::AsWanted), 1));
}

#[tokio::test]
async fn a_validator_is_given_to_a_collection_without_one_and_to_a_new_one() {
    for (there, command) in [
        (listed(Document::new()), "collMod"),
        (listed(doc! { "validator": {} }), "collMod"),
        (cursor(vec![]), "create"),
    ] {
        let (found, asked) = ensured(Part::Validator, vec![there, doc! { "ok": 1 }]).await;
        assert_eq!(found, Ok(Found::Made));
        let sent = &asked[1];
        assert_eq!(sent.get_str(command).ok(), Some("purchases"));
        assert_eq!(sent.get_document("validator").ok(), Some(&validator()));
        assert_eq!(sent.get_str("validationLevel").ok(), Some("moderate"));
        assert_eq!(sent.get_str("validationAction").ok(), Some("error"));
    }
}

#[tokio::test]
async fn a_validator_of_another_form_is_reported_and_not_changed() {
    let (found, asked) = ensured(Part::Validator, vec![listed(rules())]).await;
    assert_eq!((found, asked.len()), (Ok(Found::AsWanted), 1));
    let mut warns = rules();
    warns.insert("validationAction", "warn");
    for other in [
        doc! { "validator": { "price": { "$gt": 5 } } },
        doc! { "validator": validator() },
        warns,
    ] {
        let (found, asked) = ensured(Part::Validator, vec![listed(other)]).await;
        let told = matches!(&found, Ok(Found::Differs(how)) if how.contains("wanted"));
        assert!(told && asked.len() == 1, "{found:?}");
    }
}

#[tokio::test]
async fn a_server_without_validators_is_done_without_one_and_an_outage_is_no_such_answer() {
    for code in REFUSED {
        let answers = vec![listed(Document::new()), refusal(code)];
        let (found, _) = ensured(Part::Validator, answers).await;
        assert!(matches!(found, Ok(Found::Refused(_))), "{code}: {found:?}");
    }
    for part in Part::ALL {
        let (found, _) = ensured(part, vec![refusal(10_107)]).await;
        assert!(found.is_err(), "{found:?}");
    }
    let answers = vec![listed(Document::new()), refusal(10_107)];
    assert!(ensured(Part::Validator, answers).await.0.is_err());
}

#[test]
fn what_this_service_writes_is_what_the_validator_lets_pass() {
    let fields = validator();
    let schema = fields.get_document("$jsonSchema").unwrap();
    let required = schema.get_array("required").unwrap();
    let written = crate::document::sample();
    for field in required {
        assert!(written.contains_key(field.as_str().unwrap()), "{field}");
    }
    let described = schema.get_document("properties").unwrap();
    for (field, value) in &written {
        let kind = described.get_document(field).unwrap().get_str("bsonType");
        let is = match value {
            Bson::ObjectId(_) => "objectId",
            Bson::String(_) => "string",
            Bson::Double(_) => "double",
            Bson::DateTime(_) => "date",
            Bson::Document(_) => "object",
            other => panic!("{field} is {other}"),
        };
        assert_eq!(kind.ok(), Some(is), "{field}");
    }
}
