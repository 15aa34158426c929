//! The command line of `dlq`. Pure.

/// What `dlq --help` prints.
pub(super) const USAGE: &str = "\
Usage: consumer-svc dlq COMMAND

  list [--all] [--json]          the open letters, oldest first; --all: those dealt with too
  show LETTER [--json]           one letter: reason, origin, headers, key and value
  replay WHICH [--dry-run] [--json]
                                 send records back to the partition they came from, as they were,
                                 and mark the letters as replayed
  drop WHICH [--dry-run] [--json]
                                 mark letters as dropped: nothing will be done about them

  LETTER   PARTITION/OFFSET in the dead-letter topic, as list shows it: 0/17
  WHICH    one or more of LETTER and ranges PARTITION/FIRST-LAST (0/17-40), or --all
           Ranges and --all mean open letters only; a single letter is done again if it is named.

Replaying is safe to repeat: the id of a record does not change by it, so what is sent back twice
is stored once. A dropped or replayed letter stays in the topic, with a mark behind it, until the
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
    Replay { choice: Choice, dry_run: bool },
    Drop { choice: Choice, dry_run: bool },
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
    /// Whether this letter is meant, which is open or not.
    pub(super) fn means(&self, (partition, offset): (i32, i64), open: bool) -> bool {
        match self {
            Self::All => open,
            Self::These(ranges) => ranges.iter().any(|(of, first, last)| {
                *of == partition && (*first..=*last).contains(&offset) && (open || first == last)
            }),
        }
    }
}

impl Args {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, String> {
        let [command, rest @ ..] = arguments else {
            return Err("what shall be done?".to_owned());
        };
        let (mut json, mut all, mut dry_run, mut words) = (false, false, false, Vec::new());
        for argument in rest {
            let given = match argument.as_str() {
                "--json" => &mut json,
                "--all" if command != "show" => &mut all,
                "--dry-run" if matches!(command.as_str(), "replay" | "drop") => &mut dry_run,
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
                    true => Act::Replay { choice, dry_run },
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
        let (partition, first) = (partition.parse::<u32>().ok()?, first.parse::<u32>().ok()?);
        let last: u32 = last.parse().ok()?;
        (first <= last).then_some((i32::try_from(partition).ok()?, first.into(), last.into()))
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
            Act::Replay { choice, dry_run }
        );
        let (choice, dry_run) = (Choice::All, false);
        assert_eq!(act("drop --all"), Act::Drop { choice, dry_run });
        assert!(parse("list --json").unwrap().json);
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
            "purge --all",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_range_means_open_letters_and_a_single_one_is_meant_anyway() {
        let choice = Choice::These(vec![(0, 5, 5), (1, 0, 9)]);
        assert!(choice.means((0, 5), false) && choice.means((1, 9), true));
        assert!(!choice.means((1, 9), false) && !choice.means((0, 6), true));
        assert!(Choice::All.means((7, 7), true) && !Choice::All.means((7, 7), false));
    }
}
