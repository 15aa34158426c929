//! Permissions on a real broker, taken and given back.
//!
//! In: the broker's open listener, where everybody may do everything, and who may not write where. Out: the
//! broker's word that it is so. The client library in use has no call for it, so the two requests are
//! written here by hand, in their last form without tags.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CREATE: i16 = 30;
const DELETE: i16 = 31;
const VERSION: i16 = 1;
const TOPIC: u8 = 2;
const LITERAL: u8 = 3;
const WRITE: u8 = 4;
const DENY: u8 = 2;

/// Nobody of this name may write into the topic from now on. Everybody else without a word about him
/// may not either, as soon as there is one about the topic; super users may.
///
/// # Panics
/// If the broker does not take it.
pub async fn forbid_writing(broker: &str, user: &str, topic: &str) {
    ask(broker, CREATE, &rule(user, topic)).await;
}

/// Takes that back.
///
/// # Panics
/// If the broker does not take it.
pub async fn permit_writing(broker: &str, user: &str, topic: &str) {
    // A filter is written as the rule that it finds.
    ask(broker, DELETE, &rule(user, topic)).await;
}

/// A list of one rule.
fn rule(user: &str, topic: &str) -> Vec<u8> {
    let mut body = 1_i32.to_be_bytes().to_vec();
    body.push(TOPIC);
    put(&mut body, topic);
    body.push(LITERAL);
    put(&mut body, &format!("User:{user}"));
    put(&mut body, "*");
    body.extend([WRITE, DENY]);
    body
}

fn put(to: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("names of the proofs are short");
    to.extend(length.to_be_bytes());
    to.extend(text.as_bytes());
}

async fn ask(broker: &str, request: i16, body: &[u8]) {
    let mut message = [request.to_be_bytes(), VERSION.to_be_bytes()].concat();
    message.extend(1_i32.to_be_bytes());
    put(&mut message, "e2e");
    message.extend(body);
    let length = i32::try_from(message.len()).expect("a short message");
    let exchange = async {
        let mut stream = TcpStream::connect(broker).await?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&message).await?;
        let mut answer = vec![0; stream.read_i32().await?.unsigned_abs() as usize];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange.await;
    let answer = answer.unwrap_or_else(|error| panic!("{broker}: {error}"));
    // Id, time of throttling, the number of results, and the first one's error.
    let error = answer.get(12..14);
    assert_eq!(error, Some(&[0, 0][..]), "{broker} answered {answer:?}");
}
