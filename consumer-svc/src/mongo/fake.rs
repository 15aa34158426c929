//! A server that speaks as much of MongoDB's protocol as a command needs, and answers what it is
//! told: for answers that a healthy server gives to nobody. Tests alone use it.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::{ClientOptions, ServerApi, ServerApiVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

const OP_MSG: i32 = 2013;

/// Answers to come, by the name of the command; without one, all is well.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) insert: VecDeque<Document>,
    pub(crate) find: VecDeque<Document>,
    /// To any other command but the driver's own greetings.
    pub(crate) others: VecDeque<Document>,
    /// Those that came.
    pub(crate) asked: Vec<Document>,
    /// The finds that came.
    pub(crate) looked: Vec<Document>,
    /// Whether it says to be the primary of a replica set; else it stands alone.
    pub(crate) set: bool,
}

pub(crate) struct Server {
    pub(crate) client: Client,
    script: Arc<Mutex<Script>>,
    _serving: AbortOnDropHandle<()>,
}

/// What the driver sends by itself.
const GREETINGS: [&str; 3] = ["hello", "ping", "endSessions"];

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let uri = format!("mongodb://{address}/");
        let mut hello = doc! {
            "ok": 1, "helloOk": true, "isWritablePrimary": true, "readOnly": false,
            "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000, "minWireVersion": 0, "maxWireVersion": 21,
        };
        if script.set {
            hello.extend(doc! { "setName": "rs0", "hosts": [&address], "me": &address });
        }
        let script = Arc::new(Mutex::new(script));
        let answers = Arc::clone(&script);
        let serving = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&answers), hello.clone()));
            }
        }));
        let mut options = ClientOptions::parse(uri).await.unwrap();
        // With it the driver greets in the same form in which it asks.
        options.server_api = Some(ServerApi::builder().version(ServerApiVersion::V1).build());
        Self {
            client: Client::with_options(options).unwrap(),
            script,
            _serving: serving,
        }
    }

    /// The finds that came.
    pub(crate) fn looked(&self) -> Vec<Document> {
        self.script.lock().unwrap().looked.clone()
    }

    /// The commands that came, but for inserts, finds and greetings.
    pub(crate) fn asked(&self) -> Vec<Document> {
        self.script.lock().unwrap().asked.clone()
    }
}

/// Until the driver hangs up.
async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<Script>>,
    hello: Document,
) -> std::io::Result<()> {
    loop {
        let length = stream.read_i32_le().await?;
        let mut message = vec![0; usize::try_from(length - 4).unwrap()];
        stream.read_exact(&mut message).await?;
        let number = |at: usize| i32::from_le_bytes(message[at..at + 4].try_into().unwrap());
        let (request, code) = (number(0), number(8));
        assert_eq!(code, OP_MSG, "the driver speaks another protocol");
        let (command, documents) = sections(&message[16..]);
        let answer = answer(&command, documents, &script).unwrap_or_else(|| hello.clone());
        let answer = bson::serialize_to_vec(&answer).unwrap();
        let length = 16 + 4 + 1 + answer.len();
        for field in [i32::try_from(length).unwrap(), 1, request, OP_MSG, 0] {
            stream.write_i32_le(field).await?;
        }
        stream.write_u8(0).await?;
        stream.write_all(&answer).await?;
    }
}

/// The command, and how many documents travel beside it.
fn sections(mut bytes: &[u8]) -> (Document, usize) {
    let (mut command, mut documents) = (Document::new(), 0);
    while let [kind, rest @ ..] = bytes {
        let length = i32::from_le_bytes(rest[..4].try_into().unwrap());
        let (section, after) = rest.split_at(usize::try_from(length).unwrap());
        if *kind == 0 {
            command = read(section).0;
        } else {
            let name = section[4..].iter().position(|byte| *byte == 0).unwrap();
            let mut each = &section[4 + name + 1..];
            while !each.is_empty() {
                each = &each[read(each).1..];
                documents += 1;
            }
        }
        bytes = after;
    }
    (command, documents)
}

fn read(bytes: &[u8]) -> (Document, usize) {
    let mut cursor = Cursor::new(bytes);
    let document = Document::from_reader(&mut cursor).unwrap();
    (document, usize::try_from(cursor.position()).unwrap())
}

/// What it was told to answer.
fn answer(command: &Document, documents: usize, script: &Mutex<Script>) -> Option<Document> {
    let mut script = script.lock().unwrap();
    let name = command.keys().next().map(String::as_str);
    match name {
        Some("insert") => {
            let inline = command.get_array("documents").map_or(0, Vec::len);
            let all = i32::try_from(documents + inline).unwrap();
            script
                .insert
                .pop_front()
                .or(Some(doc! { "n": all, "ok": 1 }))
        }
        Some("find") => {
            script.looked.push(command.clone());
            script.find.pop_front()
        }
        Some(name) if !GREETINGS.contains(&name) => {
            script.asked.push(command.clone());
            script.others.pop_front()
        }
        _ => None,
    }
}
