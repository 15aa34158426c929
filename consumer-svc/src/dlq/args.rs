//! The command line of `dlq`. Pure.

/// What `dlq --help` prints.
pub(super) const USAGE: &str = "\
Usage: consumer-svc dlq COMMAND

  list [--all] [--json]          the open letters, oldest first; --all: those dealt with too
  show LETTER [--json]           one letter: reason, origin, headers, key and value
  replay WHICH [--again] [--dry-run] [--json]
                                 send records back to the partition they came from, as they were,
                                 and mark the letters as replayed; --dry-run says instead which of
                                 them cannot be read as a purchase by this version either
  drop WHICH [--dry-run] [--json]
                                 mark letters as dropped: nothing will be done about them

  LETTER   PARTITION/OFFSET in the dead-letter topic, as list shows it: 0/17
  WHICH    one or more of LETTER and ranges PARTITION/FIRST-LAST (0/17-40), or --all
           Ranges and --all mean open letters only; a single letter is done again if it is named.
           What was sent back before and refused again (list says: again) is replayed with ranges
           and --all only if --again says so: else whoever repeats them would send it for ever.

Replaying is safe to repeat, also by several at a time and after one that was ended half way: the
id of a record does not change by it, so what is sent back twice is stored once, and what is refused
again gets another letter and does not count for BAD_RUN_LIMIT and BAD_PERCENT_LIMIT. A dropped or replayed letter stays in the topic, with a mark behind it, until the
topic's own retention removes it. Kafka is reached by the same variables as by the service
(KAFKA_BOOTSTRAP_SERVERS, KAFKA_TOPIC, KAFKA_DLQ_TOPIC, …); see consumer-svc --help.
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Args {
    pub(super) act: Act,
    pub(super) json: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    List { all: bool },
    Show((i32, i64)),
    Replay(Replay),
    Drop { choice: Choice, dry_run: bool },
}

/// What is to be sent back, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replay {
    pub(super) choice: Choice,
    /// Those too that were refused again after they had been sent back.
    pub(super) again: bool,
    pub(super) dry_run: bool,
}

/// Which letters are meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Every open one.
    All,
    /// Partition, first and last offset.
    These(Vec<(i32, i64, i64)>),
}

impl Choice {
    /// Whether this letter is meant, whatever became of it: it is named, and not as one of many.
    pub(super) fn names(&self, place: (i32, i64)) -> bool {
        match self {
            Self::All => false,
            Self::These(ranges) => ranges.contains(&(place.0, place.1, place.1)),
        }
    }

    /// Whether this letter is among those that are meant, if it still waits for somebody.
    pub(super) fn covers(&self, (partition, offset): (i32, i64)) -> bool {
        match self {
            Self::All => true,
            Self::These(ranges) => ranges
                .iter()
                .any(|(of, first, last)| *of == partition && (*first..=*last).contains(&offset)),
        }
    }
}

impl Args {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, String> {
        let [command, rest @ ..] = arguments else {
            return Err("what shall be done?".to_owned());
        };
        let (mut json, mut all, mut dry_run, mut again) = (false, false, false, false);
        let mut words = Vec::new();
        for argument in rest {
            let given = match argument.as_str() {
                "--json" => &mut json,
                "--all" if command != "show" => &mut all,
                "--dry-run" if matches!(command.as_str(), "replay" | "drop") => &mut dry_run,
                "--again" if command == "replay" => &mut again,
                option if option.starts_with('-') => {
                    return Err(format!("{command} knows no option {option}"));
                }
                word => {
                    words.push(range(word)?);
                    continue;
                }
            };
            *given = true;
        }
        let act = match command.as_str() {
            "list" if words.is_empty() => Act::List { all },
            "list" => return Err("list takes no letter".to_owned()),
            "show" => match words[..] {
                [(partition, first, last)] if first == last => Act::Show((partition, first)),
                _ => return Err("show takes one letter".to_owned()),
            },
            "replay" | "drop" => {
                let choice = match (all, words.is_empty()) {
                    (true, true) => Choice::All,
                    (false, false) => Choice::These(words),
                    _ => return Err(format!("{command} takes letters, or --all")),
                };
                match command == "replay" {
                    true => Act::Replay(Replay {
                        choice,
                        again,
                        dry_run,
                    }),
                    false => Act::Drop { choice, dry_run },
                }
            }
            other => return Err(format!("unknown command {other:?}")),
        };
        Ok(Self { act, json })
    }
}

/// `0/17` or `0/17-40`.
fn range(word: &str) -> Result<(i32, i64, i64), String> {
    let read = || {
        let (partition, offsets) = word.split_once('/')?;
        let (first, last) = offsets.split_once('-').unwrap_or((offsets, offsets));
        let number = |word: &str| i64::try_from(word.parse::<u64>().ok()?).ok();
        let (first, last) = (number(first)?, number(last)?);
        let partition = i32::try_from(number(partition)?).ok()?;
        (first <= last).then_some((partition, first, last))
    };
    read().ok_or_else(|| format!("{word:?} is neither PARTITION/OFFSET nor PARTITION/FIRST-LAST"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Args::parse(&words)
    }

    #[test]
    fn every_command_is_read_as_the_usage_says() {
        let act = |line| parse(line).unwrap().act;
        assert_eq!(act("list"), Act::List { all: false });
        assert_eq!(act("list --all"), Act::List { all: true });
        assert_eq!(act("show 2/17"), Act::Show((2, 17)));
        let choice = Choice::These(vec![(0, 17, 17), (0, 20, 40)]);
        let dry_run = true;
        assert_eq!(
            act("replay 0/17 --dry-run 0/20-40"),
            Act::Replay(Replay {
                choice,
                again: false,
                dry_run
            })
        );
        let (choice, dry_run) = (Choice::All, false);
        assert_eq!(act("drop --all"), Act::Drop { choice, dry_run });
        let Act::Replay(replay) = act("replay --all --again") else {
            panic!("it is one");
        };
        assert_eq!((replay.choice, replay.again), (Choice::All, true));
        assert!(parse("list --json").unwrap().json);
        // Far beyond what 32 bits hold, and where Kafka's own offsets end.
        assert_eq!(act("show 2/4294967296"), Act::Show((2, 1 << 32)));
        assert_eq!(act("show 0/9223372036854775807"), Act::Show((0, i64::MAX)));
    }

    #[test]
    fn what_is_not_clear_is_not_guessed() {
        for line in [
            "",
            "replay",
            "drop",
            "replay --all 0/1",
            "show",
            "show 0/1-2",
            "show 0/1 0/2",
            "show --all",
            "list 0/1",
            "list --dry-run",
            "replay 0/9-1",
            "replay 0",
            "replay 0/-1",
            "drop 0/x",
            "drop 0/1 --again",
            "show 0/9223372036854775808",
            "show 4294967296/1",
            "purge --all",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_range_means_open_letters_and_a_single_one_is_meant_anyway() {
        let choice = Choice::These(vec![(0, 5, 5), (1, 0, 9)]);
        assert!(choice.names((0, 5)) && choice.covers((0, 5)));
        assert!(!choice.names((1, 9)) && choice.covers((1, 9)));
        assert!(!choice.names((0, 6)) && !choice.covers((0, 6)));
        assert!(Choice::All.covers((7, 7)) && !Choice::All.names((7, 7)));
    }
}
