//! What is for sale.
//!
//! In: a JSON array of `{"name", "price"}`, from `CATALOG_FILE` or built in. Out: items that are
//! valid by construction, or every error of the file at once, each by its place. Pure: whoever has
//! the file reads it. Every replica must be given the same catalog, or a retry could meet another.

use std::collections::HashSet;
use std::fmt;

use purchases::{Cents, ItemName, PurchaseId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::selection;

/// Most items of a catalog.
const MAX_ITEMS: usize = 10_000;

/// One thing for sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is called.
    pub name: ItemName,
    /// What it costs.
    pub price: Cents,
}

/// Everything for sale, in the order of its file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog(Vec<Item>);

/// All that is wrong with a catalog, one entry a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CatalogError(Vec<String>);

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// The price is kept as the file's own digits: a float would already have rounded them.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
}

impl Catalog {
    /// The catalog for which no file is needed.
    ///
    /// # Panics
    ///
    /// If the built-in file is invalid, which a test excludes.
    pub fn built_in() -> Self {
        Self::parse(include_bytes!("catalog.json")).expect("the built-in catalog is valid")
    }

    /// Reads and checks a catalog.
    pub fn parse(json: &[u8]) -> Result<Self, CatalogError> {
        let whole = |problem: String| CatalogError(vec![problem]);
        let lines: Vec<&RawValue> = serde_json::from_slice(json)
            .map_err(|error| whole(format!("is not a JSON array of items: {error}")))?;
        if lines.is_empty() {
            return Err(whole("has no item".into()));
        }
        if lines.len() > MAX_ITEMS {
            return Err(whole(format!(
                "has {} items; at most {MAX_ITEMS} are allowed",
                lines.len()
            )));
        }
        let mut problems = Vec::new();
        let mut items = Vec::with_capacity(lines.len());
        for (at, line) in lines.into_iter().enumerate() {
            match item(line) {
                Ok(item) => items.push(item),
                Err(found) => {
                    problems.extend(found.into_iter().map(|problem| format!("[{at}]{problem}")))
                }
            }
        }
        let mut names = HashSet::new();
        for item in &items {
            if !names.insert(item.name.as_str()) {
                problems.push(format!(
                    "the name {:?} appears more than once",
                    item.name.as_str()
                ));
            }
        }
        if problems.is_empty() {
            Ok(Self(items))
        } else {
            Err(CatalogError(problems))
        }
    }

    /// The item that this purchase is of: always the same for the same id.
    pub fn choose(&self, id: PurchaseId) -> &Item {
        &self.0[selection::position(id, self.0.len())]
    }

    /// All items in their order.
    pub fn items(&self) -> &[Item] {
        &self.0
    }
}

fn item(line: &RawValue) -> Result<Item, Vec<String>> {
    let line: Line<'_> =
        serde_json::from_str(line.get()).map_err(|_| vec![" is not an object".to_owned()])?;
    let name = match line
        .name
        .map(|raw| serde_json::from_str::<String>(raw.get()))
    {
        None => Err(".name is missing".to_owned()),
        Some(Err(_)) => Err(".name is not a string".to_owned()),
        Some(Ok(text)) => ItemName::parse(&text).map_err(|reason| format!(".name {reason}")),
    };
    let price = match line.price {
        None => Err(".price is missing".to_owned()),
        Some(raw) => Cents::parse_decimal(raw.get()).map_err(|reason| format!(".price {reason}")),
    };
    match (name, price) {
        (Ok(name), Ok(price)) => Ok(Item { name, price }),
        (name, price) => Err([name.err(), price.err()].into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalog_has_fifteen_items_and_starts_with_the_laptop() {
        let catalog = Catalog::built_in();
        assert!(catalog.items().len() >= 15);
        assert_eq!(catalog.items()[0].name.as_str(), "Laptop");
        assert_eq!(catalog.items()[0].price, Cents::new(99_999).unwrap());
    }

    #[test]
    fn all_errors_of_a_file_are_told_at_once() {
        let error = Catalog::parse(
            br#"[{"name": "A", "price": 1}, {"name": "", "price": -1}, {"price": "x"}, 7,
                 {"name": "B", "price": 1.001}, {"name": "A", "price": 2}]"#,
        )
        .unwrap_err()
        .to_string();
        for place in [
            "[1].name",
            "[1].price",
            "[2].name is missing",
            "[2].price",
            "[3] is not",
            "[4].price",
            "\"A\"",
        ] {
            assert!(error.contains(place), "{place} in {error}");
        }
    }

    #[test]
    fn prices_are_exact_to_the_cent() {
        let catalog =
            Catalog::parse(br#"[{"name": "A", "price": 0.07}, {"name": "B", "price": 1e2}]"#)
                .unwrap();
        let cents: Vec<_> = catalog
            .items()
            .iter()
            .map(|item| item.price.get())
            .collect();
        assert_eq!(cents, [7, 10_000]);
    }

    #[test]
    fn what_is_not_a_list_of_items_is_refused() {
        for json in ["", "{}", "[]", "[1", "null"] {
            assert!(Catalog::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
