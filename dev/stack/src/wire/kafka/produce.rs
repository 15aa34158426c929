//! One record into a partition, for this crate's tests. In: a value; out: its offset. It must not
//! be used outside of tests.

use super::codec::{Reader, Writer};
use super::request;

const PRODUCE: (i16, i16) = (0, 3);

/// Writes one record without key and waits for all in-sync replicas; the answer is its offset.
pub(crate) async fn produce(
    leader: &str,
    topic: &str,
    partition: i32,
    value: &[u8],
) -> Result<i64, String> {
    let batch = record_batch(value);
    let mut body = Writer::default();
    body.i16(-1);
    body.i16(-1);
    body.i32(10_000);
    body.array(&[topic], |body, topic| {
        body.string(topic);
        body.i32(1);
        body.i32(partition);
        body.bytes(&batch);
    });
    let answer = request(leader, PRODUCE, body).await?;
    let mut read = Reader::new(&answer);
    let topics = read.array(|read| {
        read.string()?;
        read.array(|read| {
            read.i32()?;
            let outcome = (read.i16()?, read.i64()?);
            read.i64()?;
            Ok(outcome)
        })
    })?;
    match topics.into_iter().flatten().next() {
        Some((0, offset)) => Ok(offset),
        other => Err(format!("not written: {other:?}")),
    }
}

/// A batch of one record in format 2. `value` must be shorter than 50 bytes, so that every
/// variable-length number of the record takes one byte.
fn record_batch(value: &[u8]) -> Vec<u8> {
    assert!(value.len() < 50, "a short value");
    let zigzag = |number: usize| u8::try_from(number * 2).unwrap_or(u8::MAX);
    let mut record = vec![0, 0, 0, 1, zigzag(value.len())];
    record.extend_from_slice(value);
    record.push(0);
    let mut checked = Writer::default();
    checked.i16(0);
    checked.i32(0);
    checked.i64(1);
    checked.i64(1);
    checked.i64(-1);
    checked.i16(-1);
    checked.i32(-1);
    checked.i32(1);
    checked.i8(i8::try_from(zigzag(record.len())).unwrap_or(i8::MAX));
    checked.0.extend_from_slice(&record);
    let mut batch = Writer::default();
    batch.i64(0);
    batch.i32(i32::try_from(checked.0.len() + 9).unwrap_or(i32::MAX));
    batch.i32(-1);
    batch.i8(2);
    batch.0.extend_from_slice(&crc32c(&checked.0).to_be_bytes());
    batch.0.extend_from_slice(&checked.0);
    batch.0
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    })
}
