//! Makes sure that like is compared with like. In: a collection that a contestant filled; out: an
//! error if its documents, indexes or validator are others than the bare inserts have.

use bson::{Document, RawDocumentBuf, doc};
use mongodb::Collection;

use crate::{Failure, corpus};

/// Compares one document and the indexes.
pub(super) async fn same(
    collection: &Collection<RawDocumentBuf>,
    records: u32,
) -> Result<(), Failure> {
    let number = records / 2;
    let expected: Document = corpus::document(number, records)?.try_into()?;
    let id = corpus::object_id(&corpus::purchase(number, records)?);
    let found = collection
        .clone_with_type::<Document>()
        .find_one(doc! { "_id": id })
        .await?;
    let found = found.ok_or_else(|| format!("no document has the id {id} of record {number}"))?;
    if outline(&found) != outline(&expected) {
        return Err(
            format!("its documents have another form: {found} instead of {expected}").into(),
        );
    }
    for field in ["username", "user_id", "item_name", "price", "timestamp"] {
        if found.get(field) != expected.get(field) {
            return Err(
                format!("{field} of record {number} is not as it was written: {found}").into(),
            );
        }
    }
    let namespace = collection.namespace();
    let listed = doc! { "listCollections": 1, "filter": { "name": &namespace.coll } };
    let answer = collection
        .client()
        .database(&namespace.db)
        .run_command(listed)
        .await?;
    let listed = answer.get_document("cursor")?.get_array("firstBatch")?;
    let options = listed
        .first()
        .and_then(|one| one.as_document()?.get_document("options").ok());
    let validator = options.and_then(|options| options.get_document("validator").ok());
    if validator != Some(&corpus::validator()) {
        return Err(format!("its collection has another validator: {validator:?}").into());
    }
    let mut names = collection.list_index_names().await?;
    names.sort();
    if names != ["_id_", corpus::INDEX] {
        return Err(format!("it made indexes of its own: {names:?}").into());
    }
    Ok(())
}

/// Names and types of the fields, in their order, and those of the origin.
fn outline(document: &Document) -> Vec<(String, u8)> {
    let origin = document.get_document("origin").into_iter().flatten();
    document
        .iter()
        .chain(origin)
        .map(|(name, value)| (name.clone(), value.element_type() as u8))
        .collect()
}
