//! The shape of a tally's document: what is written, and what is taken for one.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bson::{Binary, Bson, DateTime, Document, doc, spec::BinarySubtype};
use purchases::{Cents, ItemName, Timestamp};

use crate::mark::{Mark, Print};
use crate::tally::goods::Item;
use crate::tally::{Buyers, Counts, Goods, Refused, Series, Sold, Tally, TallyError};

/// The form of the document. A version that is not known is refused: read as this one, it would
/// give wrong numbers, and saved over, it would be lost.
const FORM: i32 = 1;

/// Sums and offsets for people and programs that look; windows and buyers packed, because they
/// are the bulk of it and change with every save.
pub(super) fn fields(tally: &Tally) -> Result<Document, TallyError> {
    let counts = tally.counts();
    let items: Result<Vec<Document>, TallyError> = counts
        .goods
        .items()
        .map(|(name, item)| {
            let mut document = doc! { "name": name.as_str() };
            document.extend(sum(item.sold)?);
            if item.missed > 0 {
                document.insert("missed", whole(item.missed)?);
            }
            Ok(document)
        })
        .collect();
    let mut document = doc! {
        "form": FORM,
        "from": whole(tally.from())?,
        "upto": whole(tally.upto())?,
        "skipped": whole(tally.skipped())?,
        "mark": tally.mark().map(mark).transpose()?,
        "total": sum(counts.total)?,
        "newest": counts.newest.map(|newest| DateTime::from_millis(newest.as_millis())),
        "items": items?,
        "other": sum(counts.goods.other())?,
        "floor": whole(counts.goods.floor())?,
        "seconds": packed(counts.seconds.encode()),
        "minutes": packed(counts.minutes.encode()),
        "buyers": packed(counts.buyers.encode()),
        "saved_at": DateTime::from(SystemTime::now()),
    };
    // Most logs have none, and then the document is as it was before there were any.
    if tally.refused != Refused::default() {
        document.insert("refused", packed(tally.refused.encode()));
    }
    if tally.amended > 0 {
        document.insert("amended", whole(tally.amended)?);
    }
    Ok(document)
}

pub(super) fn tally(document: &Document) -> Result<Tally, TallyError> {
    let bad = |field| malformed(document, field);
    if document.get_i32("form").ok() != Some(FORM) {
        return Err(bad("form"));
    }
    let offset = |field| number(document, field).ok_or_else(|| bad(field));
    let part = |field| document.get_document(field).ok().and_then(sold);
    let bytes = |field| {
        document
            .get_binary_generic(field)
            .map(Vec::as_slice)
            .map_err(|_| bad(field))
    };
    let mut named = BTreeMap::new();
    for item in document.get_array("items").map_err(|_| bad("items"))? {
        let item = item.as_document();
        let name = item.and_then(|item| ItemName::parse(item.get_str("name").ok()?).ok());
        let missed = item.and_then(|item| optional(item, "missed", 0));
        let sold = item.and_then(sold).zip(missed);
        let sold = sold.map(|(sold, missed)| Item { sold, missed });
        named.insert(
            name.ok_or_else(|| bad("items"))?,
            sold.ok_or_else(|| bad("items"))?,
        );
    }
    let other = part("other").ok_or_else(|| bad("other"))?;
    // Not there in documents of earlier versions, which let go of whatever came late.
    let floor = optional(document, "floor", other.purchases).ok_or_else(|| bad("floor"))?;
    let newest = match document.get("newest") {
        Some(Bson::DateTime(moment)) => {
            let moment = Timestamp::from_millis(moment.timestamp_millis());
            Some(moment.ok_or_else(|| bad("newest"))?)
        }
        Some(Bson::Null) => None,
        _ => return Err(bad("newest")),
    };
    let seconds = Series::seconds().decode(bytes("seconds")?);
    let minutes = Series::minutes().decode(bytes("minutes")?);
    let counts = Counts {
        total: part("total").ok_or_else(|| bad("total"))?,
        seconds: seconds.map_err(|_| bad("seconds"))?,
        minutes: minutes.map_err(|_| bad("minutes"))?,
        goods: Goods::from_parts(named, other, floor),
        buyers: Buyers::decode(bytes("buyers")?).map_err(|_| bad("buyers"))?,
        newest,
    };
    let mark = match document.get("mark") {
        // Not there in documents of earlier versions.
        None | Some(Bson::Null) => None,
        Some(mark) => Some(marked(mark).ok_or_else(|| bad("mark"))?),
    };
    let refused = match document.contains_key("refused") {
        true => Refused::decode(bytes("refused")?).map_err(|_| bad("refused"))?,
        false => Refused::default(),
    };
    Ok(Tally {
        from: offset("from")?,
        upto: offset("upto")?,
        skipped: offset("skipped")?,
        mark,
        counts,
        refused,
        amended: optional(document, "amended", 0).ok_or_else(|| bad("amended"))?,
    })
}

fn mark(mark: Mark) -> Result<Document, TallyError> {
    let Print(print) = mark.print;
    Ok(doc! { "offset": whole(mark.offset)?, "print": print.cast_signed() })
}

fn marked(mark: &Bson) -> Option<Mark> {
    let mark = mark.as_document()?;
    Some(Mark {
        offset: number(mark, "offset")?,
        print: Print(mark.get_i64("print").ok()?.cast_unsigned()),
    })
}

fn sum(sold: Sold) -> Result<Document, TallyError> {
    Ok(doc! { "purchases": whole(sold.purchases)?, "cents": sold.revenue.get() })
}

fn sold(document: &Document) -> Option<Sold> {
    Some(Sold {
        purchases: number(document, "purchases")?,
        revenue: Cents::new(document.get_i64("cents").ok()?)?,
    })
}

fn packed(bytes: Vec<u8>) -> Binary {
    let subtype = BinarySubtype::Generic;
    Binary { subtype, bytes }
}

pub(super) fn whole(number: u64) -> Result<i64, TallyError> {
    i64::try_from(number)
        .map_err(|_| TallyError::Malformed(format!("{number} is beyond what the database counts")))
}

fn number(document: &Document, field: &str) -> Option<u64> {
    u64::try_from(document.get_i64(field).ok()?).ok()
}

/// The same where a document may lack the field. `None` if it is there and no number.
fn optional(document: &Document, field: &str, without: u64) -> Option<u64> {
    match document.contains_key(field) {
        true => number(document, field),
        false => Some(without),
    }
}

pub(super) fn malformed(document: &Document, field: &str) -> TallyError {
    let id = document
        .get("_id")
        .map_or_else(|| "without _id".to_owned(), Bson::to_string);
    TallyError::Malformed(format!(
        "document {id}: field {field} is missing or not as this version writes it"
    ))
}
