//! MongoDB's protocol: one command, one answer. In: an address and a command's fields; out: the
//! answer's bytes, of which only single numbers are looked at.

use super::exchange;

/// The operation code of the only message kind that is in use.
const OP_MSG: i32 = 2013;

/// A value of a command.
pub(crate) enum Value<'a> {
    Int(i32),
    Text(&'a str),
    #[cfg(test)]
    Documents(Vec<Vec<(&'a str, Value<'a>)>>),
}

/// Asks a server who it is; `Ok` if it answers and takes writes.
pub(crate) async fn hello(address: &str) -> Result<(), String> {
    let answer = command(
        address,
        &[("hello", Value::Int(1)), ("$db", Value::Text("admin"))],
    )
    .await?;
    match field(&answer, "isWritablePrimary") {
        Some(1) => Ok(()),
        Some(_) => Err("it does not take writes (yet)".to_owned()),
        None => Err("it does not say whether it takes writes".to_owned()),
    }
}

/// Sends one command and gives the answer's document.
pub(crate) async fn command(
    address: &str,
    fields: &[(&str, Value<'_>)],
) -> Result<Vec<u8>, String> {
    let body = document(fields);
    let size = i32::try_from(16 + 4 + 1 + body.len()).map_err(|_| "a command too large")?;
    let mut message = Vec::new();
    for number in [size, 1, 0, OP_MSG, 0] {
        message.extend_from_slice(&number.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(&body);
    let answer = exchange(address, &message, |head| {
        i64::from(i32::from_le_bytes(head)) - 4
    })
    .await?;
    // Request id, response to, operation code, flags, kind: what follows is the document.
    answer
        .get(17..)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| "an answer that ends early".to_owned())
}

/// A top-level number or truth value of a document, found by its name. Good enough for answers
/// whose fields we know; it is not a parser.
pub(crate) fn field(document: &[u8], name: &str) -> Option<i64> {
    let mut wanted = name.as_bytes().to_vec();
    wanted.push(0);
    let at = document
        .windows(wanted.len())
        .position(|window| window == wanted)?;
    let kind = *document.get(at.checked_sub(1)?)?;
    let value = document.get(at + wanted.len()..)?;
    match kind {
        0x08 => value.first().map(|byte| i64::from(*byte)),
        0x10 => Some(i64::from(i32::from_le_bytes(
            value.get(..4)?.try_into().ok()?,
        ))),
        0x12 => Some(i64::from_le_bytes(value.get(..8)?.try_into().ok()?)),
        0x01 => {
            let number = f64::from_le_bytes(value.get(..8)?.try_into().ok()?);
            format!("{number:.0}").parse().ok()
        }
        _ => None,
    }
}

fn document(fields: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        element(&mut body, name, value);
    }
    sized(body)
}

fn element(body: &mut Vec<u8>, name: &str, value: &Value<'_>) {
    let kind = match value {
        Value::Int(_) => 0x10,
        Value::Text(_) => 0x02,
        #[cfg(test)]
        Value::Documents(_) => 0x04,
    };
    body.push(kind);
    body.extend_from_slice(name.as_bytes());
    body.push(0);
    match value {
        Value::Int(number) => body.extend_from_slice(&number.to_le_bytes()),
        Value::Text(text) => {
            body.extend_from_slice(
                &i32::try_from(text.len() + 1)
                    .unwrap_or(i32::MAX)
                    .to_le_bytes(),
            );
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        #[cfg(test)]
        Value::Documents(documents) => {
            let mut array = Vec::new();
            for (index, fields) in documents.iter().enumerate() {
                array.push(0x03);
                array.extend_from_slice(index.to_string().as_bytes());
                array.push(0);
                array.extend_from_slice(&document(fields));
            }
            body.extend_from_slice(&sized(array));
        }
    }
}

fn sized(body: Vec<u8>) -> Vec<u8> {
    let size = i32::try_from(body.len() + 5).unwrap_or(i32::MAX);
    let mut document = size.to_le_bytes().to_vec();
    document.extend(body);
    document.push(0);
    document
}
