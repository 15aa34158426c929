//! Each wrong is found, alone, in an account that is otherwise right.

use std::collections::BTreeMap;

use super::{
    ALTERED, FALSE, FOREIGN, INVENTED, Id, LOST, MISNAMED, NOT_STORED, Order, Placed, Sale, TWICE,
    Told, UNANSWERED, check,
};

fn id(number: u32) -> Id {
    let mut id = [7; 12];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id
}

/// What customers, broker and database say.
struct Account {
    orders: Vec<Order>,
    records: Vec<Placed>,
    documents: Vec<Placed>,
}

impl Account {
    /// Six purchases, three partitions, every second one with a key; all is well.
    fn right() -> Self {
        let sale = |order: u32| Sale {
            id: id(order),
            order,
            content: u64::from(order) * 3,
            time: i64::from(order),
        };
        let placed: Vec<Placed> = (0..6)
            .map(|order| Placed {
                sale: sale(order),
                place: ((order % 3) as i32, i64::from(order / 3)),
            })
            .collect();
        let orders = placed.iter().map(|Placed { sale, place }| Order {
            sent: true,
            promised: (sale.order % 2 == 0).then_some(sale.id),
            unknown: 0,
            told: Some(Told {
                sale: *sale,
                partition: place.0,
                offset: Some(place.1),
            }),
        });
        Self {
            orders: orders.collect(),
            records: placed.clone(),
            documents: placed,
        }
    }

    /// What is found, by kind.
    fn wrongs(&self) -> BTreeMap<String, usize> {
        let found = check(&self.orders, &self.records, &self.documents);
        let counts = found.counts().into_iter();
        counts
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect()
    }

    /// Another record of an order's, and its document if it is stored.
    fn also(&mut self, order: u32, id: Id, stored: bool) {
        let sale = Sale {
            id,
            order,
            content: u64::from(order) * 3,
            time: 99,
        };
        let place = (0, self.records.len() as i64 + 100);
        self.records.push(Placed { sale, place });
        if stored {
            self.documents.push(Placed { sale, place });
        }
    }
}

fn only<const N: usize>(kinds: [&str; N]) -> BTreeMap<String, usize> {
    kinds.into_iter().map(|kind| (kind.to_owned(), 1)).collect()
}

#[test]
fn an_account_that_is_right_has_nothing_wrong() {
    assert_eq!(Account::right().wrongs(), only([]));
}

#[test]
fn a_lost_document_is_found_also_where_another_one_makes_the_count_right() {
    let mut account = Account::right();
    account.documents.remove(3);
    assert_eq!(account.wrongs(), only([LOST, NOT_STORED]));
    account.also(4, id(77), true);
    assert_eq!(account.documents.len(), account.orders.len());
    assert_eq!(account.wrongs(), only([LOST, NOT_STORED, FOREIGN]));
}

#[test]
fn a_doubled_document_is_found() {
    let mut account = Account::right();
    account.documents.push(account.documents[2]);
    assert_eq!(account.wrongs(), only([TWICE]));
}

#[test]
fn a_foreign_document_is_found_whoever_it_claims_to_be_of() {
    let mut account = Account::right();
    account.also(6, id(6), true);
    assert_eq!(
        account.wrongs(),
        only([FOREIGN]),
        "an order that was never sent"
    );
    let mut account = Account::right();
    account.also(1, id(71), true);
    assert_eq!(
        account.wrongs(),
        only([FOREIGN]),
        "a second one of an order without a key"
    );
    let mut account = Account::right();
    account.also(2, id(72), true);
    account.orders[2].unknown = 5;
    assert_eq!(
        account.wrongs(),
        only([FOREIGN]),
        "one of a key's order under another id"
    );
}

#[test]
fn an_attempt_of_unknown_outcome_may_have_left_one_document_and_no_more() {
    let mut account = Account::right();
    account.orders[1].unknown = 1;
    account.also(1, id(71), true);
    assert_eq!(account.wrongs(), only([]));
    account.also(1, id(72), true);
    assert_eq!(account.wrongs(), only([FOREIGN]));
}

#[test]
fn a_retry_with_a_key_may_be_in_the_topic_twice_and_is_one_document() {
    let mut account = Account::right();
    account.orders[2].unknown = 1;
    account.also(2, id(2), false);
    assert_eq!(account.wrongs(), only([]));
}

#[test]
fn an_answer_that_the_topic_does_not_confirm_is_found() {
    let mut account = Account::right();
    account.orders[0].told.as_mut().unwrap().offset = Some(1);
    assert_eq!(account.wrongs(), only([FALSE]));
    account.orders[0].told.as_mut().unwrap().offset = None;
    assert_eq!(
        account.wrongs(),
        only([]),
        "in the partition, and where was not told"
    );
    account.orders[0].told.as_mut().unwrap().partition = 1;
    assert_eq!(account.wrongs(), only([FALSE]));
}

#[test]
fn another_price_in_the_answer_or_in_the_document_is_found() {
    let mut account = Account::right();
    account.orders[5].told.as_mut().unwrap().sale.content = 1;
    assert_eq!(account.wrongs(), only([FALSE, ALTERED]));
    let mut account = Account::right();
    account.documents[5].sale.content = 1;
    assert_eq!(account.wrongs(), only([INVENTED, ALTERED]));
    let mut account = Account::right();
    account.documents[5].place = (0, 0);
    assert_eq!(
        account.wrongs(),
        only([INVENTED]),
        "an origin that is another's"
    );
}

#[test]
fn an_order_without_an_answer_or_with_anothers_id_is_found() {
    let mut account = Account::right();
    account.orders[4].told = None;
    account.orders[4].unknown = 1;
    assert_eq!(account.wrongs(), only([UNANSWERED]));
    account.orders.push(Order::default());
    assert_eq!(
        account.wrongs(),
        only([UNANSWERED]),
        "one that was never sent is fine"
    );
    let mut account = Account::right();
    account.orders[4].promised = Some(id(70));
    assert_eq!(account.wrongs(), only([MISNAMED]));
}

#[test]
fn a_record_that_is_not_stored_is_found_also_where_nobody_was_told_of_it() {
    let mut account = Account::right();
    account.orders[1].unknown = 1;
    account.also(1, id(71), false);
    assert_eq!(account.wrongs(), only([NOT_STORED]));
}
