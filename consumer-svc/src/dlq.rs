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
use std::io;
use std::pin::pin;

use futures_util::{StreamExt, stream};
use host::exit::{Code, Failure};
use host::frame::{Command, CommandFuture};
use purchases::Timestamp;

use self::args::{Act, Args, Choice, Replay};
use self::kafka::Desk;
use self::letter::{Entry, Fate, Letter, Place, Summary};
use self::print::Done;
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
/// Marks under way: each waits for the broker alone, so many wait together.
const MARKS_AT_ONCE: usize = 500;

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
    print::whole(print::list(&mut io::stdout(), shown, json))
}

fn show(desk: &Desk, place: (i32, i64), json: bool) -> Result<(), String> {
    let letter = one(desk, place)?;
    let fate = ledger(desk)?.remove(&place).map(|summary| summary.fate);
    let fate = fate.unwrap_or(Fate::Open);
    let shown = (place, &letter, &fate);
    print::whole(print::letter(&mut io::stdout(), shown, json))
}

fn one(desk: &Desk, place: (i32, i64)) -> Result<Letter, String> {
    let found = desk.letters(place.0, &[place.1])?.pop();
    match found.map(|(_, record)| Entry::read(record)) {
        Some(Entry::Letter(letter)) => Ok(letter),
        _ => Err(format!("there is no letter {}/{}", place.0, place.1)),
    }
}

/// A letter's place, and where its record stood.
type Meant = ((i32, i64), Place);

/// The letters that are meant, by whether they still wait for somebody. A single one is meant
/// also when it was dealt with.
fn chosen(
    desk: &Desk,
    choice: &Choice,
    waits: impl Fn(&Summary) -> bool,
) -> Result<Vec<Meant>, String> {
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
    let meant = letters
        .into_iter()
        .filter(|(place, summary)| choice.names(*place) || choice.covers(*place) && waits(summary));
    Ok(meant
        .map(|(place, summary)| (place, summary.origin))
        .collect())
}

/// Runs of letters of one partition, not too many at once.
fn batches(letters: &[Meant]) -> impl Iterator<Item = (i32, Vec<i64>)> + '_ {
    let same = letters.chunk_by(|(one, _), (next, _)| one.0 == next.0);
    same.flat_map(|same| same.chunks(AT_ONCE)).map(|batch| {
        let partition = batch.first().map_or(0, |(place, _)| place.0);
        let offsets = batch.iter().map(|(place, _)| place.1);
        (partition, offsets.collect())
    })
}

async fn replay(desk: &Desk, args: &Replay, json: bool) -> Result<(), String> {
    let Replay {
        choice,
        again,
        dry_run,
    } = args;
    let left_out = Cell::new(0);
    let letters = chosen(desk, choice, |summary| {
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
    for (partition, offsets) in batches(&letters) {
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
            let done = Done::SentBack(in_vain.as_deref());
            print::done((place, &origin), &done, *dry_run, json);
        }
    }
    summed_up(&letters, sent, refused)
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
    let letters = chosen(desk, choice, |summary| summary.fate == Fate::Open)?;
    let mark = async |place| match dry_run {
        true => Ok(()),
        false => desk.mark(place, &Fate::Dropped(now())).await,
    };
    mark_each(&letters, mark, |letter| {
        print::done(letter, &Done::PutAside, dry_run, json);
    })
    .await?;
    summed_up(&letters, letters.len(), 0)
}

/// Marks many at once, and tells of each in the order of the letters, once its mark is there. A broker that
/// takes no mark takes none of those behind it; what was under way may be there all the same, and is open no
/// more when this is repeated.
async fn mark_each<'l>(
    letters: &'l [Meant],
    mark: impl AsyncFn((i32, i64)) -> Result<(), String>,
    mut each: impl FnMut(((i32, i64), &'l Place)),
) -> Result<(), String> {
    let marks = stream::iter(letters).map(async |(place, origin)| {
        mark(*place).await?;
        Ok((*place, origin))
    });
    let mut marks = pin!(marks.buffered(MARKS_AT_ONCE));
    let mut done = 0;
    while let Some(marked) = marks.next().await {
        each(marked.inspect_err(|_: &String| tell_count(done, letters))?);
        done += 1;
    }
    Ok(())
}

fn summed_up(letters: &[Meant], done: usize, refused: usize) -> Result<(), String> {
    tell_count(done, letters);
    match refused {
        0 => Ok(()),
        _ => Err(format!("{refused} letters stay as they are")),
    }
}

fn tell_count(done: usize, letters: &[Meant]) {
    eprintln!("{done} of {} letters", letters.len());
}

fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn letters(count: i64) -> Vec<Meant> {
        let origin = Place {
            topic: "purchases".to_owned(),
            partition: 2,
            offset: 9,
        };
        (0..count)
            .map(|offset| ((0, offset), origin.clone()))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn marks_wait_together_and_are_told_of_in_the_order_of_the_letters() {
        let (letters, began, mut told) = (letters(5_000), Instant::now(), Vec::new());
        let mark = async |(_, offset): (i32, i64)| {
            // Answers come in another order.
            sleep(Duration::from_millis(10 - offset.unsigned_abs() % 7)).await;
            Ok(())
        };
        let marked = mark_each(&letters, mark, |(place, _)| told.push(place)).await;
        assert_eq!(marked, Ok(()));
        assert!(told.is_sorted() && told.len() == 5_000, "{}", told.len());
        // One after the other they would take half a minute.
        assert!(began.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_mark_that_is_not_taken_ends_it_and_what_was_marked_is_told() {
        let (letters, mut told) = (letters(5_000), 0);
        let mark = async |(_, offset): (i32, i64)| match offset < 700 {
            true => Ok(()),
            false => Err("no broker".to_owned()),
        };
        let marked = mark_each(&letters, mark, |_| told += 1).await;
        assert_eq!((marked, told), (Err("no broker".to_owned()), 700));
    }
}
