//! A broker as it is for a moment after it was frozen and fenced: it answers, and names no broker.
//!
//! In: a broker's address. Out: an address to connect to instead, under which its answers can be had either
//! as they are, or with no broker in those to Metadata. Nothing else is changed but the address that the
//! broker tells, which becomes this one.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const METADATA: i16 = 3;
/// From here on its lengths are varints; the client asks for nothing older.
const FLEXIBLE: i16 = 9;
/// The requests whose answers tell addresses: the other one finds a coordinator.
const TELLING: [i16; 2] = [METADATA, 10];

/// The broker behind. Dropping it ends its connections.
#[derive(Debug)]
pub struct Fenced {
    address: SocketAddr,
    fenced: Arc<AtomicBool>,
    serving: JoinHandle<()>,
}

/// What is the same for all connections.
#[derive(Clone)]
struct Way {
    broker: SocketAddr,
    here: SocketAddr,
    fenced: Arc<AtomicBool>,
}

/// Requests without an answer yet: which answer tells what.
type Asked = Arc<Mutex<HashMap<[u8; 4], i16>>>;

impl Fenced {
    /// Before this broker.
    ///
    /// # Panics
    /// If there is no port, or `broker` is no address.
    pub async fn before(broker: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("its address");
        let fenced = Arc::new(AtomicBool::new(false));
        let way = Way {
            broker: broker.parse().expect("one broker"),
            here: address,
            fenced: Arc::clone(&fenced),
        };
        Self {
            address,
            fenced,
            serving: tokio::spawn(serve(listener, way)),
        }
    }

    /// Where to connect.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Whether it names no broker from now on.
    pub fn set(&self, fenced: bool) {
        self.fenced.store(fenced, Ordering::SeqCst);
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, way: Way) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let way = way.clone();
        connections.spawn(async move {
            let Ok(broker) = TcpStream::connect(way.broker).await else {
                return;
            };
            // Delays would look like a slow broker.
            if client.set_nodelay(true).is_err() || broker.set_nodelay(true).is_err() {
                return;
            }
            let (asks, answered) = client.into_split();
            let (answers, asked) = broker.into_split();
            let pending = Asked::default();
            // Either end ends both.
            tokio::select! {
                _ = up(asks, asked, &pending) => {}
                _ = down(answers, answered, &pending, &way) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: &Asked) -> std::io::Result<()> {
    loop {
        let request = frame(&mut from).await?;
        if let [k, ey, v, ersion, a, b, c, d, ..] = request[..] {
            let (key, version) = (i16::from_be_bytes([k, ey]), i16::from_be_bytes([v, ersion]));
            if TELLING.contains(&key) {
                assert!(key != METADATA || version >= FLEXIBLE, "{version}");
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                asked.insert([a, b, c, d], key);
            }
        }
        send(&mut to, &request).await?;
    }
}

async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    asked: &Asked,
    way: &Way,
) -> std::io::Result<()> {
    loop {
        let mut answer = frame(&mut from).await?;
        let key = answer.first_chunk().and_then(|correlation| {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.remove(correlation)
        });
        if let Some(key) = key {
            if key == METADATA && way.fenced.load(Ordering::SeqCst) {
                answer = without_brokers(&answer).expect("an answer to Metadata");
            }
            tell(&mut answer, way.broker, way.here);
        }
        send(&mut to, &answer).await?;
    }
}

async fn frame(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; from.read_u32().await? as usize];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn send(to: &mut OwnedWriteHalf, frame: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    to.write_all(&[&length.to_be_bytes(), frame].concat()).await
}

/// Another address in the place of one; both are as long.
fn tell(answer: &mut [u8], instead_of: SocketAddr, this: SocketAddr) {
    let told = |address: SocketAddr| {
        let (host, port) = (address.ip().to_string(), i32::from(address.port()));
        [host.as_bytes(), &port.to_be_bytes()].concat()
    };
    let (old, new) = (told(instead_of), told(this));
    let places = 0..(answer.len() + 1).saturating_sub(old.len());
    for at in places {
        let place = &mut answer[at..at + old.len()];
        if *place == *old {
            place.copy_from_slice(&new);
        }
    }
}

/// The same answer with an empty list of brokers.
fn without_brokers(answer: &[u8]) -> Option<Vec<u8>> {
    // Correlation, then tags; the time of throttling.
    let rest = skip_tags(answer.get(4..)?)?.get(4..)?;
    let head = &answer[..answer.len() - rest.len()];
    let (count, mut rest) = varint(rest)?;
    for _ in 1..count {
        // Id, host, port, rack, tags.
        rest = skip_text(rest.get(4..)?)?;
        rest = skip_tags(skip_text(rest.get(4..)?)?)?;
    }
    Some([head, &[1], rest].concat())
}

fn varint(from: &[u8]) -> Option<(usize, &[u8])> {
    let length = from.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (bytes, rest) = from.split_at(length);
    let bits = bytes.iter().rev();
    let value = bits.fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, rest))
}

/// One more than its length, or nothing for none, and the text.
fn skip_text(from: &[u8]) -> Option<&[u8]> {
    let (length, rest) = varint(from)?;
    rest.get(length.saturating_sub(1)..)
}

fn skip_tags(from: &[u8]) -> Option<&[u8]> {
    let (count, mut rest) = varint(from)?;
    for _ in 0..count {
        let (_, value) = varint(rest)?;
        let (length, value) = varint(value)?;
        rest = value.get(length..)?;
    }
    Some(rest)
}
