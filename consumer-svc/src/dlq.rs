//! `consumer-svc dlq`: what became dead letters, to be looked at, sent back, or put aside.
//!
//! In: a choice of letters. Out: a list, a letter, records back in their topic, and marks. A letter
//! that was dealt with is not removed, which a log cannot do for one record: a mark, a record of its
//! own behind it in the same partition, says what was done with it. Sending back is safe to repeat:
//! ids do not change by it, so what is sent twice is stored once, and what is refused twice neither
//! stops its partition nor is sent a third time unless somebody says so.

mod args;
pub mod kafka;
mod letter;
mod print;

use std::cell::Cell;
use std::collections::BTreeMap;

use host::exit::{Code, Failure};
use host::frame::{Command, CommandFuture};
use purchases::Timestamp;

use self::args::{Act, Args, Choice, Replay};
use self::kafka::Desk;
use self::letter::{Entry, Fate, Letter, Summary};
use crate::config::Config;

/// The command, for the frame.
pub const COMMAND: Command<Config> = Command {
    name: "dlq",
    about: "look at dead letters, send them back, or put them aside: see dlq --help",
    usage: args::USAGE,
    run,
};

/// Letters that are read, sent and marked together.
const AT_ONCE: usize = 100;

fn run(config: Config, arguments: Vec<String>) -> CommandFuture {
    Box::pin(async move {
        let args = Args::parse(&arguments)
            .map_err(|what| Failure::new(Code::Usage, format!("{what}\n\n{}", args::USAGE)))?;
        let desk = Desk::new(&config.kafka).map_err(unavailable)?;
        let done = match &args.act {
            Act::List { all } => list(&desk, *all, args.json),
            Act::Show(place) => show(&desk, *place, args.json),
            Act::Replay(which) => replay(&desk, which, args.json).await,
            Act::Drop { choice, dry_run } => drop_letters(&desk, choice, *dry_run, args.json).await,
        };
        done.map_err(unavailable)
    })
}

fn unavailable(what: String) -> Failure {
    Failure::new(Code::Unavailable, what)
}

/// Every letter and what became of it, in the order of the log.
fn ledger(desk: &Desk) -> Result<BTreeMap<(i32, i64), Summary>, String> {
    let mut letters = BTreeMap::new();
    let mut marks = Vec::new();
    desk.scan(|place, record| match Entry::read(record) {
        Entry::Letter(letter) => {
            letters.insert(place, letter.summary());
        }
        Entry::Mark { of, fate } => marks.push(((place.0, of), fate)),
        Entry::Other => {}
    })?;
    for (place, fate) in marks {
        if let Some(summary) = letters.get_mut(&place) {
            // The newest stands; a letter that was sent back once is never open again.
            summary.fate = fate;
        }
    }
    Ok(letters)
}

fn list(desk: &Desk, all: bool, json: bool) -> Result<(), String> {
    let letters = ledger(desk)?;
    let shown = letters
        .iter()
        .filter(|(_, summary)| all || summary.fate == Fate::Open);
    print::list(shown, json);
    Ok(())
}

fn show(desk: &Desk, place: (i32, i64), json: bool) -> Result<(), String> {
    let letter = one(desk, place)?;
    let fate = ledger(desk)?.remove(&place).map(|summary| summary.fate);
    print::letter(place, &letter, &fate.unwrap_or(Fate::Open), json);
    Ok(())
}

fn one(desk: &Desk, place: (i32, i64)) -> Result<Letter, String> {
    let found = desk.letters(place.0, &[place.1])?.pop();
    match found.map(|(_, record)| Entry::read(record)) {
        Some(Entry::Letter(letter)) => Ok(letter),
        _ => Err(format!("there is no letter {}/{}", place.0, place.1)),
    }
}

/// The places of the letters that are meant, by whether they still wait for somebody. A single one is meant
/// also when it was dealt with.
fn chosen(
    desk: &Desk,
    choice: &Choice,
    waits: impl Fn(&Summary) -> bool,
) -> Result<Vec<(i32, i64)>, String> {
    let letters = ledger(desk)?;
    if let Choice::These(ranges) = choice {
        for (partition, first, last) in ranges {
            let mut within = letters.range((*partition, *first)..=(*partition, *last));
            if within.next().is_none() {
                let what = match first == last {
                    true => format!("{partition}/{first}"),
                    false => format!("{partition}/{first}-{last}"),
                };
                return Err(format!("there is no letter {what}"));
            }
        }
    }
    let meant = letters.iter().filter(|(place, summary)| {
        choice.names(**place) || choice.covers(**place) && waits(summary)
    });
    Ok(meant.map(|(place, _)| *place).collect())
}

/// Runs of letters of one partition, not too many at once.
fn batches(places: &[(i32, i64)]) -> impl Iterator<Item = (i32, Vec<i64>)> + '_ {
    let same = places.chunk_by(|one, next| one.0 == next.0);
    same.flat_map(|same| same.chunks(AT_ONCE)).map(|batch| {
        let partition = batch.first().map_or(0, |place| place.0);
        (partition, batch.iter().map(|place| place.1).collect())
    })
}

async fn replay(desk: &Desk, args: &Replay, json: bool) -> Result<(), String> {
    let Replay {
        choice,
        again,
        dry_run,
    } = args;
    let left_out = Cell::new(0);
    let places = chosen(desk, choice, |summary| {
        let open = summary.fate == Fate::Open;
        if open && summary.again && !again {
            left_out.set(left_out.get() + 1);
            return false;
        }
        open
    })?;
    if left_out.get() > 0 {
        let left_out = left_out.get();
        eprintln!("{left_out} were sent back before and refused again: left out without --again");
    }
    let (mut sent, mut refused) = (0, 0);
    for (partition, offsets) in batches(&places) {
        for (offset, record) in desk.letters(partition, &offsets)? {
            let Entry::Letter(letter) = Entry::read(record) else {
                continue;
            };
            let place = (partition, offset);
            let origin = letter.origin.clone();
            let in_vain = match resend(desk, place, letter, *dry_run).await {
                Ok(in_vain) => in_vain,
                Err(cause) => {
                    refused += 1;
                    eprintln!("{partition}/{offset} stays: {cause}");
                    continue;
                }
            };
            sent += 1;
            let what = if *dry_run {
                "would be sent back"
            } else {
                "sent back"
            };
            print::done(place, what, (Some(&origin), in_vain.as_deref()), json);
        }
    }
    summed_up(&places, sent, refused)
}

/// Sends one back and marks it; tells why it is bad by what this version reads, if it is. Between the
/// two it may be sent again, which is harmless.
async fn resend(
    desk: &Desk,
    place: (i32, i64),
    letter: Letter,
    dry_run: bool,
) -> Result<Option<String>, String> {
    let origin = letter.origin.clone();
    if origin.topic != desk.topic() {
        return Err(format!(
            "it is of topic {}, not of KAFKA_TOPIC {}",
            origin.topic,
            desk.topic()
        ));
    }
    let whole = match letter.truncated_from {
        None => letter.original,
        Some(_) => {
            let found = desk.original(&origin)?.ok_or(
                "it has only the beginning of its record, which is not in its topic any more",
            )?;
            if !letter.is_of(&found) {
                return Err(format!(
                    "it has only the beginning of its record, and another record stands at {}/{}/{} now",
                    origin.topic, origin.partition, origin.offset
                ));
            }
            found
        }
    };
    let record = letter::back(whole, &origin, now());
    let in_vain = letter::unreadable(&record, &origin);
    if !dry_run {
        desk.send_back(&origin, &record).await?;
        desk.mark(place, &Fate::Replayed(now())).await?;
    }
    Ok(in_vain)
}

async fn drop_letters(
    desk: &Desk,
    choice: &Choice,
    dry_run: bool,
    json: bool,
) -> Result<(), String> {
    let places = chosen(desk, choice, |summary| summary.fate == Fate::Open)?;
    for place in &places {
        if !dry_run {
            desk.mark(*place, &Fate::Dropped(now())).await?;
        }
        let what = if dry_run {
            "would be put aside"
        } else {
            "put aside"
        };
        print::done(*place, what, (None, None), json);
    }
    summed_up(&places, places.len(), 0)
}

fn summed_up(places: &[(i32, i64)], done: usize, refused: usize) -> Result<(), String> {
    eprintln!("{done} of {} letters", places.len());
    match refused {
        0 => Ok(()),
        _ => Err(format!("{refused} letters stay as they are")),
    }
}

fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}
