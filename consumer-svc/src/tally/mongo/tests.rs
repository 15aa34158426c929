//! The document: it comes back as it went, and nothing else is taken for it.

use futures_util::future::join_all;

use super::*;
use crate::mongo::fake::{Script, Server};
use crate::tally::tests::{NOON, sale};

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
    for tally in [Tally::starting_at(0), Tally::starting_at(1 << 40), busy()] {
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
    let (names, whose) = (("shop", "purchases"), ("group", "topic"));
    let deadline = std::time::Duration::from_secs(10);
    let tallies = MongoTallies::new(&server.client, names, whose, deadline);
    let tally = Tally::starting_at(0);
    let saves = (0..PARTITIONS).map(|partition| tallies.save(partition, &tally));
    for (partition, saved) in join_all(saves).await.into_iter().enumerate() {
        assert!(saved.is_ok(), "partition {partition}: {saved:?}");
    }
    let asked = server.asked();
    assert_eq!(asked.len(), PARTITIONS as usize);
    assert_eq!(tallies.pending().in_use(), actors::Cost::default());
}
