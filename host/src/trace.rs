//! Ids that follow a request: `X-Request-Id` and the W3C trace context, `traceparent` and
//! `tracestate`.
//!
//! In: headers from outside, which are taken only if they are short and plain.
//! Out: ids that may stand in logs, headers and records. Making one costs no system
//! call and takes no lock.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};

/// Header with the request's id.
pub const X_REQUEST_ID: &str = "x-request-id";
/// The same, for an answer: a name that is made from text is read and kept anew each time.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(X_REQUEST_ID);
/// Header with the trace that the request belongs to.
pub const TRACEPARENT: &str = "traceparent";
/// Header with what other tracing systems note on that trace. It is passed on as it came.
pub const TRACESTATE: &str = "tracestate";

/// As long a `tracestate` as everybody has to pass on; a longer one may be left behind whole.
const MAX_STATE: usize = 512;

/// The header's text, if it can be passed on. Without a good `traceparent` it means nothing.
pub fn trace_state(header: &str) -> Option<Box<str>> {
    let plain = header.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'));
    let text = header.trim();
    (plain && !text.is_empty() && text.len() <= MAX_STATE).then(|| text.into())
}

/// The id of a request: 1 to 64 of `A-Z a-z 0-9 _ - . :`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Text);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Text {
    Theirs(Box<str>),
    Ours(u128),
}

impl RequestId {
    /// Takes a client's id if it is one. An id of the form of ours needs no memory of its own.
    pub fn parse(header: &str) -> Option<Self> {
        if header.len() == 32
            && let Some(number) = wide(header.as_bytes())
        {
            return Some(Self(Text::Ours(number)));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
        let good = (1..=64).contains(&header.len()) && header.bytes().all(plain);
        good.then(|| Self(Text::Theirs(header.into())))
    }

    /// The id of a request that began this trace. What follows from the request has one id to carry then, and not two.
    pub fn of(trace: &TraceParent) -> Self {
        Self(Text::Ours(trace.trace))
    }

    /// As a header's value.
    pub fn to_header(&self) -> HeaderValue {
        let value = match &self.0 {
            Text::Theirs(text) => HeaderValue::from_str(text),
            Text::Ours(number) => {
                let mut text = [0; 32];
                put_hex(&mut text, *number);
                HeaderValue::from_bytes(&text)
            }
        };
        value.expect("letters, digits and a few signs make a valid header")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Text::Theirs(text) => f.write_str(text),
            Text::Ours(number) => write!(f, "{number:032x}"),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// A place in a trace: W3C trace context, version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: NonZeroU64,
    flags: u8,
}

/// Flag: the caller records this trace.
const SAMPLED: u8 = 1;

impl TraceParent {
    /// How long every written `traceparent` is.
    pub const TEXT_LEN: usize = 55;

    /// Reads the header; `None` if it is not valid, and then the standard says to
    /// begin a new trace. Later versions are read as far as this one knows them.
    pub fn parse(header: &str) -> Option<Self> {
        Self::parse_bytes(header.as_bytes())
    }

    /// The same from bytes, as records' headers hold them.
    pub fn parse_bytes(header: &[u8]) -> Option<Self> {
        let (head, tail) = header.split_at_checked(Self::TEXT_LEN)?;
        let dashes = [2, 35, 52].iter().all(|&at| head[at] == b'-');
        let version = hex(&head[..2])?;
        let later = version > 0 && version < 0xFF && tail.first() == Some(&b'-');
        if !dashes || version == 0xFF || !(tail.is_empty() || later) {
            return None;
        }
        let (trace, span) = (wide(&head[3..35])?, NonZeroU64::new(hex(&head[36..52])?)?);
        let flags = hex(&head[53..])? as u8;
        (trace != 0).then_some(Self { trace, span, flags })
    }

    /// The trace that this place is in.
    pub fn trace_id(&self) -> u128 {
        self.trace
    }

    /// The span that this place is.
    pub fn span_id(&self) -> u64 {
        self.span.get()
    }

    /// Whether the caller records this trace.
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same place, recorded or not.
    #[must_use]
    pub fn with_sampled(self, sampled: bool) -> Self {
        let flags = match sampled {
            true => self.flags | SAMPLED,
            false => self.flags & !SAMPLED,
        };
        Self { flags, ..self }
    }

    /// The header's text without an allocation.
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put_hex(&mut text[3..35], self.trace);
        put_hex(&mut text[36..52], u128::from(self.span.get()));
        // Of the flags, this version knows only "sampled" and "random".
        put_hex(&mut text[53..55], u128::from(self.flags & 3));
        text
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace,
            self.span,
            self.flags & 3
        )
    }
}

/// The value of each lower-case digit, as the standard has it; all others have the high bit set. A
/// table, because every record's headers are read by it.
const DIGITS: [u8; 256] = {
    let mut table = [0x80; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// At most 16 digits.
fn hex(digits: &[u8]) -> Option<u64> {
    let (mut number, mut odd) = (0, 0);
    for &digit in digits {
        let value = DIGITS[digit as usize];
        odd |= value;
        number = number << 4 | u64::from(value & 15);
    }
    (odd & 0x80 == 0).then_some(number)
}

/// 32 digits.
fn wide(digits: &[u8]) -> Option<u128> {
    let (high, low) = digits.split_at_checked(16)?;
    Some(u128::from(hex(high)?) << 64 | u128::from(hex(low)?))
}

/// Both digits of every byte.
const PAIRS: [[u8; 2]; 256] = {
    let (digits, mut table) = (b"0123456789abcdef", [[0; 2]; 256]);
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// The last digits, as many as there is room for: an even number.
fn put_hex(out: &mut [u8], number: u128) {
    let (pairs, _) = out.as_chunks_mut();
    let bytes = number.to_be_bytes();
    for (pair, byte) in pairs.iter_mut().rev().zip(bytes.iter().rev()) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// Makes ids. Share one per process.
#[derive(Debug)]
pub struct Ids {
    key: u64,
    count: AtomicU64,
}

impl Ids {
    /// Seeded by the operating system, so that processes do not repeat each other.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            key: getrandom::u64()?,
            count: AtomicU64::new(getrandom::u64()?),
        })
    }

    /// The client's request id if it sent a good one, else a new one.
    pub fn request(&self, header: Option<&str>) -> RequestId {
        header
            .and_then(RequestId::parse)
            .unwrap_or_else(|| RequestId(Text::Ours(self.wide())))
    }

    /// Our place in the client's trace if it sent a good one, else in a new one
    /// that is not sampled: who wants a trace begins it.
    pub fn trace(&self, header: Option<&str>) -> TraceParent {
        self.place(header.and_then(TraceParent::parse))
    }

    /// The same, of a place that was read already.
    pub fn place(&self, theirs: Option<TraceParent>) -> TraceParent {
        let span = self.narrow();
        match theirs {
            Some(theirs) => TraceParent { span, ..theirs },
            None => TraceParent {
                trace: self.wide(),
                span,
                flags: 0,
            },
        }
    }

    fn wide(&self) -> u128 {
        u128::from(self.narrow().get()) << 64 | u128::from(self.narrow().get())
    }

    /// `SplitMix64` over a counter: never the same twice within a process, and
    /// unlike between processes. Unguessable it is not, and need not be.
    fn narrow(&self) -> NonZeroU64 {
        let count = self
            .count
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let value = count ^ self.key;
        let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // Zero is no valid span, and one in 2^64 is affordable.
        NonZeroU64::new(value ^ (value >> 31)).unwrap_or(NonZeroU64::MIN)
    }
}
