//! The document: it comes back as it went, and nothing else is taken for it.

use bson::Bson;
use futures_util::future::join_all;

use super::*;
use crate::mark::{Mark, Print};
use crate::mongo::fake::{Script, Server};
use crate::tally::tests::{NOON, reaching, sale};

pub(in crate::tally) fn there_and_back(tally: &Tally) -> Tally {
    super::tally(&fields(tally).unwrap()).unwrap()
}

fn busy() -> Tally {
    let mut tally = Tally::starting_at(7);
    for number in 0..50_000u32 {
        let item = format!("item {}", number % 20);
        let at = NOON + i64::from(number) * 72;
        tally.fold(
            7 + u64::from(number),
            &sale(number % 5_000, &item, 99_999, at),
        );
    }
    tally.remember(Mark {
        offset: 7,
        print: Print(u64::MAX),
    });
    tally
}

#[test]
fn a_tally_comes_back_as_it_went() {
    let mut amended = busy();
    (0..40).for_each(|number| amended.refuse(1_000_000 + number * 3));
    amended.fold(1_000_003, &sale(1, "Pen", 10, NOON));
    let others = [Tally::starting_at(0), Tally::starting_at(1 << 40), busy()];
    for tally in others.into_iter().chain([amended]) {
        assert_eq!(there_and_back(&tally), tally);
    }
}

#[test]
fn a_busy_hour_makes_a_small_document() {
    let size = bson::serialize_to_vec(&fields(&busy()).unwrap())
        .unwrap()
        .len();
    assert!(size < 24_000, "{size} bytes");
}

#[test]
fn a_document_of_another_form_is_refused_by_field_and_never_read_as_zero() {
    let good = fields(&busy()).unwrap();
    for field in [
        "form", "from", "upto", "skipped", "total", "newest", "items", "other", "seconds",
        "minutes", "buyers",
    ] {
        for wrong in [None, Some(Bson::String("x".into())), Some(Bson::Int32(77))] {
            let mut document = good.clone();
            document.remove(field);
            if let Some(wrong) = wrong {
                document.insert(field, wrong);
            }
            let error = super::tally(&document).unwrap_err();
            assert!(
                matches!(&error, TallyError::Malformed(what) if what.contains(field)),
                "{field}: {error}"
            );
        }
    }
    for wrong in [Bson::Int32(7), Bson::Document(doc! { "offset": 7i64 })] {
        let mut document = good.clone();
        document.insert("mark", wrong);
        assert!(super::tally(&document).is_err());
    }
    let mut before = good.clone();
    before.remove("mark");
    assert_eq!(super::tally(&before).unwrap().mark(), None);
    let mut plain = good.clone();
    assert!(!plain.contains_key("refused") && !plain.contains_key("amended"));
    for field in ["refused", "amended"] {
        plain.insert(field, "x");
        assert!(super::tally(&plain).is_err(), "{field}");
        plain.remove(field);
    }
    let mut negative = good;
    negative.insert("upto", -1i64);
    assert!(super::tally(&negative).is_err());
}

#[test]
fn documents_of_one_topic_are_found_without_those_of_its_neighbours() {
    let all = [
        "g/shop/0",
        "g/shop/12",
        "g/shop-2/0",
        "g/shop2/0",
        "g2/shop/0",
        "g/shop.x/1",
    ];
    let filter = super::of_group("g", "shop");
    let bounds = filter.get_document("_id").unwrap();
    let (from, to) = (
        bounds.get_str("$gte").unwrap(),
        bounds.get_str("$lt").unwrap(),
    );
    let found = all.into_iter().filter(|id| (from..to).contains(id));
    assert_eq!(found.collect::<Vec<_>>(), ["g/shop/0", "g/shop/12"]);
}

#[tokio::test]
async fn however_many_partitions_there_are_the_statistics_of_each_are_saved() {
    const PARTITIONS: i32 = 3 * MAX_OVERDUE as i32;
    let done = doc! { "ok": 1, "n": 1, "nModified": 1 };
    let server = Server::start(Script {
        others: vec![done; PARTITIONS as usize].into(),
        ..Script::default()
    })
    .await;
    let tallies = tallies_on(&server);
    let tally = Tally::starting_at(0);
    let saves = (0..PARTITIONS).map(|partition| tallies.save(partition, &tally));
    for (partition, saved) in join_all(saves).await.into_iter().enumerate() {
        assert!(saved.is_ok(), "partition {partition}: {saved:?}");
    }
    let asked = server.asked();
    assert_eq!(asked.len(), PARTITIONS as usize);
    assert_eq!(tallies.pending().in_use(), actors::Cost::default());
}

/// What a server says that is no member of a replica set.
fn no_set() -> Document {
    doc! { "ok": 0, "code": NOT_A_REPLICA_SET, "codeName": "NotAReplicaSet",
    "errmsg": "node needs to be a replica set member to use read concern" }
}

fn found(tally: &Tally) -> Document {
    let mut document = doc! { "_id": "group/topic/0", "partition": 0 };
    document.extend(fields(tally).unwrap());
    doc! { "ok": 1, "value": document }
}

fn tallies_on(server: &Server) -> MongoTallies {
    let (names, whose) = (("shop", "purchases"), ("group", "topic"));
    MongoTallies::new(&server.client, names, whose, Duration::from_secs(10))
}

#[tokio::test]
async fn a_standalone_server_is_asked_for_statistics_in_the_way_that_it_knows_and_journals() {
    let server = Server::start(Script {
        find: vec![no_set(), no_set()].into(),
        others: vec![found(&busy()), doc! { "ok": 1, "value": null }].into(),
        ..Script::default()
    })
    .await;
    let tallies = tallies_on(&server);
    assert_eq!(tallies.load(0).await.unwrap(), Some(busy()));
    assert_eq!(tallies.load(0).await.unwrap(), None, "nothing is saved yet");
    let linearizable = doc! { "level": "linearizable" };
    for look in server.looked() {
        let asked = look.get_document("readConcern");
        assert_eq!(asked.unwrap(), &linearizable, "each time anew");
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for command in asked {
        assert!(command.contains_key("findAndModify"), "{command}");
        let concern = command.get_document("writeConcern").unwrap();
        assert!(concern.get_bool("j").unwrap(), "{concern}");
        assert!(!command.get_bool("upsert").unwrap_or(false), "{command}");
    }
}

#[tokio::test]
async fn a_member_of_a_replica_set_is_never_asked_for_less_than_it_must_know() {
    let server = Server::start(Script {
        find: vec![no_set()].into(),
        others: vec![found(&busy())].into(),
        set: true,
        ..Script::default()
    })
    .await;
    let refused = tallies_on(&server).load(0).await.unwrap_err();
    assert!(
        matches!(&refused, TallyError::Unavailable(why) if why.contains("replica set member")),
        "{refused}"
    );
    assert_eq!(server.asked(), Vec::<Document>::new());
}

#[tokio::test]
async fn a_document_is_replaced_by_one_of_greater_reach_alone() {
    let done = doc! { "ok": 1, "n": 1, "nModified": 1 };
    let server = Server::start(Script {
        others: vec![done; 2].into(),
        ..Script::default()
    })
    .await;
    let tallies = tallies_on(&server);
    let mut tally = Tally::starting_at(7);
    tally.refuse(7);
    tallies.save(0, &tally).await.unwrap();
    tally.fold(7, &sale(1, "Pen", 10, NOON));
    tallies.save(0, &tally).await.unwrap();
    let asked = server.asked();
    let filter = |place: usize| {
        let updates = asked[place].get_array("updates").unwrap();
        let mut filter = updates[0]
            .as_document()
            .unwrap()
            .get_document("q")
            .unwrap()
            .clone();
        assert_eq!(filter.remove("_id"), Some("group/topic/0".into()));
        filter
    };
    assert_eq!(filter(0), doc! { "upto": { "$lt": 8i64 }, "amended": null });
    let shorter = doc! { "amended": 1i64, "upto": { "$lt": 8i64 } };
    let fewer = doc! { "amended": { "$lt": 1i64 } };
    let no_longer = doc! { "$lte": 8i64 };
    let lesser = doc! { "upto": no_longer, "$or": [{ "amended": null }, fewer, shorter] };
    assert_eq!(filter(1), lesser);
}

/// As the server reads as much of a filter as there is in ours.
fn matches(filter: &Document, there: &Document) -> bool {
    filter.iter().all(|(field, wanted)| match wanted {
        Bson::Array(any) if field == "$or" => any
            .iter()
            .any(|one| matches(one.as_document().unwrap(), there)),
        Bson::Null => !there.contains_key(field),
        Bson::Document(bounds) => bounds.iter().all(|(bound, than)| {
            let (it, than) = (there.get_i64(field), than.as_i64().unwrap());
            it.is_ok_and(|it| match bound.as_str() {
                "$lt" => it < than,
                "$lte" => it <= than,
                _ => panic!("{bound}"),
            })
        }),
        exactly => there.get(field) == Some(exactly),
    })
}

#[test]
fn what_is_replaced_is_ahead_in_nothing_and_not_the_same() {
    let reaches = || (0..4).flat_map(|amended| (4..8).map(move |upto| reaching(amended, upto)));
    for ours in reaches() {
        let filter = lesser(ours.reach()).unwrap();
        for theirs in reaches() {
            let (ours, theirs, there) = (ours.reach(), theirs.reach(), fields(&theirs).unwrap());
            let expected = ours.covers(&theirs) && ours != theirs;
            assert_eq!(matches(&filter, &there), expected, "{theirs} by {ours}");
        }
    }
}

#[tokio::test]
async fn what_was_met_is_taken_for_saved_if_it_covers_ours_and_else_never() {
    let save_over = async |there: Option<Tally>| {
        let refused = doc! { "index": 0, "code": DUPLICATE_KEY, "errmsg": "E11000 duplicate key" };
        let document = there.map(|there| {
            let mut document = doc! { "_id": "group/topic/0", "partition": 0 };
            document.extend(fields(&there).unwrap());
            document
        });
        let batch: Vec<Document> = document.into_iter().collect();
        let cursor = doc! { "id": 0i64, "ns": "shop.purchases_statistics", "firstBatch": batch };
        let server = Server::start(Script {
            others: vec![doc! { "ok": 1, "n": 0, "writeErrors": [refused] }].into(),
            find: vec![doc! { "ok": 1, "cursor": cursor }].into(),
            ..Script::default()
        })
        .await;
        tallies_on(&server).save(0, &reaching(1, 150)).await
    };
    for (amended, upto) in [(1, 150), (2, 150), (1, 151), (2, 200)] {
        assert_eq!(save_over(Some(reaching(amended, upto))).await, Ok(()));
    }
    for (amended, upto) in [(3, 100), (0, 200)] {
        let theirs = Reach { amended, upto };
        let (amended, upto) = (1, 150);
        let ours = Reach { amended, upto };
        let overtaken = Err(TallyError::Overtaken { theirs, ours });
        let met = reaching(theirs.amended, theirs.upto);
        assert_eq!(save_over(Some(met)).await, overtaken);
    }
    // Somebody put an older one there meanwhile, or took it away: the next attempt finds out.
    for there in [Some(reaching(1, 149)), None] {
        let again = save_over(there).await;
        assert!(
            matches!(again, Err(TallyError::Unavailable(_))),
            "{again:?}"
        );
    }
}
