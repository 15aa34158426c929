//! Money as whole cents.
//!
//! In: decimal text, or a double that stands for a decimal. Out: an exact
//! amount. Nothing here ever adds, compares or rounds in floating point.

use std::fmt;
use std::iter::Sum;

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount of money in cents, never negative.
///
/// A single price is at most [`Cents::MAX_PRICE`]; sums may be larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cents(i64);

/// Why a text or number is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number as JSON writes them.
    #[error("is not a decimal number")]
    Malformed,
    /// NaN or an infinity.
    #[error("is not a finite number")]
    NotFinite,
    /// Below zero.
    #[error("is negative")]
    Negative,
    /// Finer than a cent.
    #[error("has more than 2 decimals")]
    TooPrecise,
    /// Above [`Cents::MAX_PRICE`].
    #[error("is larger than {}", Cents::MAX_PRICE)]
    TooLarge,
}

/// Longer texts are refused unread; no honest price comes near.
const MAX_TEXT: usize = 64;

impl Cents {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The largest single price: 15 significant digits, because that is how many
    /// every double carries faithfully there and back. The stored document and
    /// most JSON readers hold prices as doubles.
    pub const MAX_PRICE: Self = Self(999_999_999_999_999);

    /// An amount from a count of cents; `None` if it is negative.
    pub const fn new(cents: i64) -> Option<Self> {
        if cents < 0 { None } else { Some(Self(cents)) }
    }

    /// The count of cents.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Parses a decimal exactly, by value: `999.99`, `25`, `1e2` and `19.990` are
    /// fine, `0.001` is not. The grammar is that of a JSON number.
    pub fn parse_decimal(text: &str) -> Result<Self, MoneyError> {
        if text.len() > MAX_TEXT {
            return Err(MoneyError::Malformed);
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let number = Decimal::split(unsigned).ok_or(MoneyError::Malformed)?;
        if negative {
            return Err(MoneyError::Negative);
        }
        number.cents()
    }

    /// The amount that a double stands for: the double must be the one nearest to
    /// a decimal with at most two places, as a stored price always is.
    pub fn from_f64_exact(value: f64) -> Result<Self, MoneyError> {
        if !value.is_finite() {
            return Err(MoneyError::NotFinite);
        }
        if value < 0.0 {
            return Err(MoneyError::Negative);
        }
        let cents = (value * 100.0).round();
        if cents > Self::MAX_PRICE.0 as f64 {
            return Err(MoneyError::TooLarge);
        }
        let candidate = Self(cents as i64);
        // Division is correctly rounded, so this is the nearest double or nothing.
        if candidate.as_f64() == value {
            Ok(candidate)
        } else {
            Err(MoneyError::TooPrecise)
        }
    }

    /// The double nearest to this amount; prints back exactly up to 15 digits.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// The sum, unless it overflows.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The amount divided by a count, rounded half up to the cent; `None` for a
    /// count of zero. This is what an average price is.
    pub fn average_over(self, count: u64) -> Option<Self> {
        let count = i128::from(count);
        if count == 0 {
            return None;
        }
        let doubled = i128::from(self.0) * 2 + count;
        i64::try_from(doubled / (count * 2)).ok().map(Self)
    }
}

/// Adds up in cents. Saturates at the top, which is beyond 92 quadrillion.
impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, next| Self(sum.0.saturating_add(next.0)))
    }
}

/// Always two decimals: `999.99`, `25.00`.
impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// A JSON number, as answers show money. A sum beyond what a price may be has more digits than every double
/// carries, so they are written as they are.
impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self <= Self::MAX_PRICE {
            return serializer.serialize_f64(self.as_f64());
        }
        let mut digits = self.to_string();
        // One decimal where that is enough, as a double has it.
        if digits.ends_with('0') {
            digits.pop();
        }
        RawValue::from_string(digits)
            .map_err(Error::custom)?
            .serialize(serializer)
    }
}

/// A decimal taken apart: `whole.fraction × 10^exponent`.
struct Decimal<'a> {
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

impl<'a> Decimal<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !digits(whole) || !digits(fraction) {
            return None;
        }
        Some(Self {
            whole,
            fraction,
            exponent,
        })
    }

    fn cents(&self) -> Result<Cents, MoneyError> {
        let fraction = self.fraction.trim_end_matches('0');
        let significant = || {
            self.whole
                .bytes()
                .chain(fraction.bytes())
                .map(|b| i64::from(b - b'0'))
        };
        if significant().all(|digit| digit == 0) {
            return Ok(Cents::ZERO);
        }
        // How many places the digits move left to become cents. What falls off
        // the right end must be zeros, else it was finer than a cent.
        let shift = i64::from(self.exponent) + 2 - fraction.len() as i64;
        let total = (self.whole.len() + fraction.len()) as i64;
        let kept = if shift < 0 {
            (total + shift).max(0)
        } else {
            total
        };
        let mut cents = 0_i64;
        for (at, digit) in significant().enumerate() {
            if (at as i64) < kept {
                cents = cents
                    .checked_mul(10)
                    .and_then(|c| c.checked_add(digit))
                    .ok_or(MoneyError::TooLarge)?;
            } else if digit != 0 {
                return Err(MoneyError::TooPrecise);
            }
        }
        for _ in 0..shift.clamp(0, 20) {
            cents = cents.checked_mul(10).ok_or(MoneyError::TooLarge)?;
        }
        if cents > Cents::MAX_PRICE.0 {
            Err(MoneyError::TooLarge)
        } else {
            Ok(Cents(cents))
        }
    }
}

/// Exponents beyond four digits are cut there: they are far out either way.
fn parse_exponent(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.trim_start_matches('0');
    Some(
        sign * if size.len() > 4 {
            9_999
        } else {
            size.parse().unwrap_or(0)
        },
    )
}
