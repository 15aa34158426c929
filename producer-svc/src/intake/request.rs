//! The body of `POST /buy`.
//!
//! In: bytes from anybody. Out: a request whose fields are valid by their types, or everything
//! that is wrong with it at once. Unknown fields are skipped, however deep they nest; a field of
//! ours that appears twice is refused, because readers of JSON disagree on which one counts.

use std::borrow::Cow;
use std::fmt;

use purchases::{FieldError, UserId, Username};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use utoipa::ToSchema;

/// Who wants to buy. Unknown fields are ignored; a field that appears twice is refused.
#[derive(Debug, PartialEq, Eq, ToSchema)]
pub struct BuyRequest {
    /// As shown to people.
    pub username: Username,
    /// As known to machines.
    pub user_id: UserId,
}

/// Why a body is no request.
#[derive(Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not JSON at all.
    Malformed(String),
    /// JSON, but not what is asked for.
    Fields(Vec<Flaw>),
}

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Flaw {
    /// JSON pointer to it.
    pub pointer: &'static str,
    /// What is wrong.
    pub detail: String,
}

impl BuyRequest {
    /// Reads and checks a body.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with every flaw.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        if body.is_empty() {
            return Err(Invalid::Malformed("the body is empty".to_owned()));
        }
        // All of it, also what is skipped: the parser looks at no text that nobody wants.
        let body = std::str::from_utf8(body).map_err(|error| {
            Invalid::Malformed(format!(
                "it is not UTF-8 from byte {} on",
                error.valid_up_to()
            ))
        })?;
        match serde_json::from_str(body) {
            Err(error) => Err(Invalid::Malformed(error.to_string())),
            Ok(Document::Other(kind)) => Err(Invalid::Fields(vec![Flaw {
                pointer: "",
                detail: format!("must be an object, not {kind}"),
            }])),
            Ok(Document::Object { username, user_id }) => {
                let username = username.checked("/username", Username::parse);
                let user_id = user_id.checked("/user_id", UserId::parse);
                match (username, user_id) {
                    (Ok(username), Ok(user_id)) => Ok(Self { username, user_id }),
                    (username, user_id) => Err(Invalid::Fields(
                        [username.err(), user_id.err()]
                            .into_iter()
                            .flatten()
                            .collect(),
                    )),
                }
            }
        }
    }
}

/// What stands in the place of a field.
enum Field<'a> {
    Missing,
    Text(Cow<'a, str>),
    Other(&'static str),
    Twice,
}

impl<'a> Field<'a> {
    fn checked<T>(
        self,
        pointer: &'static str,
        parse: fn(&str) -> Result<T, FieldError>,
    ) -> Result<T, Flaw> {
        let detail = match self {
            Self::Text(text) => match parse(&text) {
                Ok(value) => return Ok(value),
                Err(reason) => reason.to_string(),
            },
            Self::Missing => "is missing".to_owned(),
            Self::Other(kind) => format!("must be a string, not {kind}"),
            Self::Twice => "appears more than once".to_owned(),
        };
        Err(Flaw { pointer, detail })
    }

    fn put(&mut self, value: Value<'a>) {
        *self = match (&self, value) {
            (Self::Missing, Value::Text(text)) => Self::Text(text),
            (Self::Missing, Value::Other(kind) | Value::Object(kind, _)) => Self::Other(kind),
            _ => Self::Twice,
        };
    }
}

/// The whole body.
enum Document<'a> {
    Object {
        username: Field<'a>,
        user_id: Field<'a>,
    },
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match from.deserialize_any(AnyValue::<true>)? {
            Value::Object(_, Some((username, user_id))) => Self::Object { username, user_id },
            Value::Object(kind, None) | Value::Other(kind) => Self::Other(kind),
            Value::Text(_) => Self::Other("a string"),
        })
    }
}

/// Any JSON value, of which only texts and the outermost object are looked into.
enum Value<'a> {
    Text(Cow<'a, str>),
    Object(&'static str, Option<(Field<'a>, Field<'a>)>),
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue::<false>)
    }
}

/// Takes whatever comes; `TOP` says that an object is the document itself.
struct AnyValue<const TOP: bool>;

impl<'de, const TOP: bool> Visitor<'de> for AnyValue<TOP> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'de>, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        if !TOP {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Object("an object", None));
        }
        let (mut username, mut user_id) = (Field::Missing, Field::Missing);
        while let Some(name) = map.next_key::<Name>()? {
            match name {
                Name::Username => username.put(map.next_value()?),
                Name::UserId => user_id.put(map.next_value()?),
                Name::Unknown => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object("an object", Some((username, user_id))))
    }
}

/// A field's name, compared in place.
enum Name {
    Username,
    UserId,
    Unknown,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;
        impl Visitor<'_> for Names {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "username" => Name::Username,
                    "user_id" => Name::UserId,
                    _ => Name::Unknown,
                })
            }
        }
        from.deserialize_identifier(Names)
    }
}

#[cfg(test)]
mod tests;
