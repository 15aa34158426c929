//! The catalog's file.
//!
//! In: a path, or JSON. Out: items and their odds, or every flaw. It never reads more than a
//! catalog can have. Unknown fields are skipped: the same file may serve others.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use purchases::{Cents, ItemName};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Catalog, CatalogError, Flaw, Item, MAX_ITEMS};
use crate::selection::{BadWeights, Odds};

/// Largest file: 10,000 names of 100 characters need less, escapes included.
const MAX_BYTES: u64 = 16 << 20;

impl Catalog {
    /// Reads and checks a file. Blocks.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, CatalogError> {
        Self::parse(&read(path)?)
    }
}

/// All bytes of a file that can be a catalog.
fn read(path: &Path) -> Result<Vec<u8>, CatalogError> {
    let unreadable =
        |error: std::io::Error| CatalogError::whole(format!("cannot be read: {error}"));
    // Before it is opened: a pipe would keep us waiting.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(CatalogError::whole("is not a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(CatalogError::whole(format!(
            "is larger than {MAX_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// Items, and how likely each is.
pub(super) fn parse(json: &[u8]) -> Result<(Vec<Item>, Odds), CatalogError> {
    let Lines { first, count } = serde_json::from_slice(json)
        .map_err(|error| CatalogError::whole(format!("is not a JSON array of items: {error}")))?;
    if count == 0 {
        return Err(CatalogError::whole("has no item"));
    }
    // Each behind the place it has in the file; what is wrong with the whole comes first.
    let mut flaws = Vec::new();
    if count > MAX_ITEMS {
        let detail = format!("has {count} items; at most {MAX_ITEMS} are allowed");
        flaws.push((0, Flaw::whole(detail)));
    }
    let weighted = first
        .iter()
        .any(|line| matches!(line, Line::Object { weight, .. } if weight.is_there()));
    let mut items = Vec::with_capacity(first.len());
    let (mut weights, mut weighed) = (Vec::new(), Vec::new());
    let mut places = HashMap::new();
    for (at, line) in first.into_iter().enumerate() {
        let mut flaw = |field: &str, detail: String| {
            flaws.push((at + 1, Flaw::at(at, field, detail)));
        };
        let (name, price, weight) = match line {
            Line::Object {
                name,
                price,
                weight,
            } => (name, price, weight),
            Line::Other => {
                flaw("", "is not an object".to_owned());
                continue;
            }
        };
        let name = name.read(name_of);
        let price = price.read(price_of);
        let weight = match (weighted, weight) {
            (false, _) => Ok(None),
            (true, Field::Missing) => Err("is missing, but other items have one".to_owned()),
            (true, weight) => weight.read(weight_of).map(Some),
        };
        if let Ok(name) = &name
            && let Some(before) = places.insert(name.clone(), at)
        {
            flaw("/name", format!("is the name of /{before} already"));
        }
        if let Ok(Some(weight)) = weight {
            weights.push(weight);
            weighed.push(at);
        }
        match (name, price, weight) {
            (Ok(name), Ok(price), Ok(_)) => items.push(Item { name, price }),
            (name, price, weight) => {
                for (field, problem) in [
                    ("/name", name.err()),
                    ("/price", price.err()),
                    ("/weight", weight.err()),
                ] {
                    if let Some(problem) = problem {
                        flaw(field, problem);
                    }
                }
            }
        }
    }
    let odds = if weighted {
        Odds::weighted(&weights)
    } else {
        Ok(Odds::even(items.len()))
    };
    // What is too much or too little of the weights that can be read is that of all of them, too.
    match &odds {
        Ok(_) => {}
        Err(BadWeights::TooLarge) => {
            flaws.push((0, Flaw::whole("has weights whose sum is too large")));
        }
        Err(BadWeights::TooSmall(places)) => flaws.extend(places.iter().map(|place| {
            let detail = "is less than a billionth of all weights together".to_owned();
            let at = weighed[*place];
            (at + 1, Flaw::at(at, "/weight", detail))
        })),
    }
    match odds {
        Ok(odds) if flaws.is_empty() => Ok((items, odds)),
        _ => {
            flaws.sort_by_key(|(place, _)| *place);
            let flaws = flaws.into_iter().map(|(_, flaw)| flaw);
            Err(CatalogError::new(flaws.collect()))
        }
    }
}

fn name_of(raw: &RawValue) -> Result<ItemName, String> {
    let text: String = serde_json::from_str(raw.get()).map_err(|_| "is not a string".to_owned())?;
    ItemName::parse(&text).map_err(|reason| reason.to_string())
}

/// From the file's own digits: a float would already have rounded them.
fn price_of(raw: &RawValue) -> Result<Cents, String> {
    let price = Cents::parse_decimal(raw.get()).map_err(|reason| reason.to_string())?;
    if price.get() == 0 {
        return Err("is not more than 0".to_owned());
    }
    Ok(price)
}

fn weight_of(raw: &RawValue) -> Result<f64, String> {
    match serde_json::from_str::<f64>(raw.get()) {
        Ok(weight) if weight.is_finite() && weight > 0.0 => Ok(weight),
        Ok(_) => Err("is not more than 0".to_owned()),
        Err(_) => Err("is not a finite number".to_owned()),
    }
}

/// The array: as many lines as a catalog may have, and how many there are.
struct Lines<'a> {
    first: Vec<Line<'a>>,
    count: usize,
}

enum Line<'a> {
    Object {
        name: Field<'a>,
        price: Field<'a>,
        weight: Field<'a>,
    },
    Other,
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Missing,
    Once(&'a RawValue),
    Twice,
}

impl<'a> Field<'a> {
    fn is_there(self) -> bool {
        !matches!(self, Self::Missing)
    }

    fn put(&mut self, raw: &'a RawValue) {
        *self = match self {
            Self::Missing => Self::Once(raw),
            Self::Once(_) | Self::Twice => Self::Twice,
        };
    }

    fn read<T>(self, read: impl Fn(&RawValue) -> Result<T, String>) -> Result<T, String> {
        match self {
            Self::Missing => Err("is missing".to_owned()),
            Self::Twice => Err("appears more than once".to_owned()),
            Self::Once(raw) => read(raw),
        }
    }
}

impl<'de> Deserialize<'de> for Lines<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Lines<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lines<'de>, A::Error> {
                let mut lines = Lines {
                    first: Vec::new(),
                    count: 0,
                };
                while lines.count < MAX_ITEMS
                    && let Some(line) = seq.next_element::<&RawValue>()?
                {
                    let object = line.get().starts_with('{');
                    // A raw value is valid JSON, so an object is one.
                    lines.first.push(if object {
                        serde_json::from_str(line.get()).unwrap_or(Line::Other)
                    } else {
                        Line::Other
                    });
                    lines.count += 1;
                }
                if lines.count == MAX_ITEMS {
                    while seq.next_element::<IgnoredAny>()?.is_some() {
                        lines.count += 1;
                    }
                }
                Ok(lines)
            }
        }
        from.deserialize_seq(Array)
    }
}

impl<'de> Deserialize<'de> for Line<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Line<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
                let mut fields = [Field::Missing; 3];
                while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    let value = map.next_value::<&'de RawValue>()?;
                    let known = ["name", "price", "weight"];
                    if let Some(at) = known.iter().position(|known| *known == name) {
                        fields[at].put(value);
                    }
                }
                let [name, price, weight] = fields;
                Ok(Line::Object {
                    name,
                    price,
                    weight,
                })
            }
        }
        from.deserialize_map(Object)
    }
}
