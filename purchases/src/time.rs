//! A moment, in whole milliseconds, as RFC 3339.
//!
//! In: text in any zone and precision, or milliseconds. Out: UTC with three
//! decimals, always the same 24 bytes. It never asks a clock.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z, within the years 0000 to 9998.
///
/// RFC 3339 writes four digits; the year 9999 is left out because the parsing
/// library keeps its last day as room for zones, and half a year is worse than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is not a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339, or a date that does not exist, or no zone.
    #[error("is not an RFC 3339 time with a zone, such as 2026-01-31T18:00:00.123Z")]
    Malformed,
    /// A moment whose year in UTC is beyond those that are kept.
    #[error("is not within the years 0000 to 9998")]
    OutOfRange,
}

/// 0000-01-01T00:00:00.000Z.
const MIN_MILLIS: i64 = -62_167_219_200_000;
/// 9998-12-31T23:59:59.999Z.
const MAX_MILLIS: i64 = 253_370_764_799_999;
/// Longer texts are refused unread.
const MAX_TEXT: usize = 64;
const DAY_MILLIS: i64 = 86_400_000;

impl Timestamp {
    /// How many bytes every written timestamp has.
    pub const TEXT_LEN: usize = 24;

    /// From milliseconds since the epoch; `None` outside the years 0000 to 9998.
    pub const fn from_millis(millis: i64) -> Option<Self> {
        if millis < MIN_MILLIS || millis > MAX_MILLIS {
            None
        } else {
            Some(Self(millis))
        }
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339 in any zone and precision. Finer than a millisecond is cut
    /// off towards the past; a time without a zone is refused, because nobody can
    /// know which moment was meant.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        // The library also reads shorter and annotated forms; a full date and time
        // is at least 17 bytes, and an annotation could contradict its offset.
        if !(17..=MAX_TEXT).contains(&text.len()) || text.contains('[') {
            return Err(TimeError::Malformed);
        }
        let moment = jiff::Timestamp::from_str(text).map_err(|_| unread(text))?;
        let millis = moment.as_nanosecond().div_euclid(1_000_000);
        i64::try_from(millis)
            .ok()
            .and_then(Self::from_millis)
            .ok_or(TimeError::OutOfRange)
    }

    /// The text `2026-01-31T18:00:00.123Z` without an allocation: this is on the
    /// path of every purchase.
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        let (year, month, day) = civil(self.0.div_euclid(DAY_MILLIS));
        let of_day = self.0.rem_euclid(DAY_MILLIS);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], of_day / 3_600_000);
        digits(&mut text[14..16], of_day / 60_000 % 60);
        digits(&mut text[17..19], of_day / 1_000 % 60);
        digits(&mut text[20..23], of_day % 1_000);
        text
    }
}

/// Texts of moments that follow each other closely: within a second only the milliseconds are written anew.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    last: Option<(i64, [u8; Timestamp::TEXT_LEN])>,
}

impl Texts {
    /// The same as [`Timestamp::to_text`].
    pub(crate) fn of(&mut self, moment: Timestamp) -> &[u8; Timestamp::TEXT_LEN] {
        let second = moment.0.div_euclid(1_000);
        let last = match self.last.take() {
            Some((known, mut text)) if known == second => {
                digits(&mut text[20..23], moment.0.rem_euclid(1_000));
                text
            }
            _ => moment.to_text(),
        };
        &self.last.insert((second, last)).1
    }
}

/// A clock outside the years 0000 to 9998 reads as the nearest of them.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let saturate = |millis: u128| i64::try_from(millis).unwrap_or(i64::MAX);
        let millis = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => saturate(after.as_millis()),
            Err(before) => -saturate(before.duration().as_millis()),
        };
        Self(millis.clamp(MIN_MILLIS, MAX_MILLIS))
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.to_text() {
            fmt::Write::write_char(f, char::from(byte))?;
        }
        Ok(())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why the library does not read this: it has no room for the last hours of its last year, and says so as it
/// says of what is no time at all. A time that it reads in the year before is one.
fn unread(text: &str) -> TimeError {
    let earlier = text.strip_prefix("9999").map(|rest| format!("9998{rest}"));
    match earlier.is_some_and(|earlier| jiff::Timestamp::from_str(&earlier).is_ok()) {
        true => TimeError::OutOfRange,
        false => TimeError::Malformed,
    }
}

fn digits(out: &mut [u8], mut value: i64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a day number since the epoch, in the proleptic
/// Gregorian calendar. Years are counted from March in eras of 400, so that the
/// leap day is the last of its year (Howard Hinnant's `civil_from_days`).
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * march_month + 2) / 5 + 1)
}
