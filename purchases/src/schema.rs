//! How the values of the contract look in JSON, for descriptions of the services' APIs.
//!
//! In: nothing. Out: schemas, beside the types that are written and read. Pure.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{Cents, ItemName, NAME_PATTERN, PurchaseId, Timestamp, UserId, Username};

macro_rules! described {
    ($type:ty, $name:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    };
}

described!(
    Cents,
    "Money",
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .minimum(Some(0))
        .description(Some(
            "An amount of money, exact to the cent: a decimal number with at most two decimals. Sums are made of whole \
             cents and never show a float's error."
        ))
        .examples([999.99])
);

described!(
    Timestamp,
    "Timestamp",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .pattern(Some(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"))
        .description(Some("A moment: RFC 3339 in UTC with three decimals."))
        .examples(["2026-01-31T18:00:00.123Z"])
);

described!(
    PurchaseId,
    "PurchaseId",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9a-f]{24}$"))
        .description(Some(
            "The id of a purchase: 12 bytes as 24 lower-case hexadecimal digits. The same in the answer to the purchase, \
             in the event and in the history."
        ))
        .examples(["6b032e4a8566f4e02fb620f2"])
);

/// The three names are one shape.
fn name(about: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(NAME_PATTERN))
        .description(Some(format!(
            "{about}: 1 to 100 Unicode characters without control characters, line separators and overrides of the text's \
             direction. White space at both ends is taken off."
        )))
        .examples([example])
}

described!(
    UserId,
    "UserId",
    name("Who buys, as known to machines", "user_123")
);
described!(
    Username,
    "Username",
    name("Who buys, as shown to people", "john_doe")
);
described!(ItemName, "ItemName", name("What is bought", "Laptop"));
