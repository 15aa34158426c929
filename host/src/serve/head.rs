//! A connection before its first request.
//!
//! In: a stream. Out: what came on it, as soon as that is a head, or something that only a parser can
//! answer. A parser's buffers take several pages from the first byte on, so whoever sends half a head
//! and waits does not get as far.

use std::io::Result;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::unfinished::SMALL;

/// What came of a head that may not be whole yet.
#[derive(Default)]
pub(super) struct Beginning(Vec<u8>);

impl Beginning {
    /// Reads until there is something to parse, or nothing more to come.
    pub(super) fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        let mut space = [MaybeUninit::uninit(); SMALL];
        loop {
            let mut buf = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
            let came = buf.filled();
            self.0.extend_from_slice(came);
            if came.is_empty() || self.is_for_the_parser(came.len()) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// All of it.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Whether a parser would do more than wait: a blank line ends the head, or it is no head. Too soon is
    /// no mistake, it only costs the parser's buffers. The last bytes are `new`.
    fn is_for_the_parser(&self, new: usize) -> bool {
        // Blank lines before a request are skipped.
        let blank = self.0.iter().take_while(|byte| b"\r\n".contains(byte));
        let head = &self.0[blank.count()..];
        let Some(first) = head.first() else {
            return self.0.len() >= SMALL;
        };
        if self.0.len() >= SMALL || !first.is_ascii_uppercase() {
            return true;
        }
        let mut lines = head.split(|byte| *byte == b'\n');
        let line = lines.next().unwrap_or_default();
        if line.len() < head.len() && !is_request_line(line) {
            return true;
        }
        // The end may have begun in what was there before.
        let from = head.len().saturating_sub(new + 3);
        let tail = &head[from..];
        tail.windows(2).any(|two| two == b"\n\n") || tail.windows(3).any(|three| three == b"\n\r\n")
    }
}

fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many of the pieces there is something to parse, if there is.
    fn parsed_after(pieces: &[&[u8]]) -> Option<usize> {
        let mut beginning = Beginning::default();
        pieces.iter().position(|piece| {
            beginning.0.extend_from_slice(piece);
            beginning.is_for_the_parser(piece.len())
        })
    }

    #[test]
    fn half_a_head_waits_and_a_whole_one_goes_on_wherever_it_is_cut() {
        let head = b"\r\nPOST /buy HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n";
        for at in 0..head.len() {
            assert_eq!(parsed_after(&[&head[..at]]), None, "{at}");
            assert_eq!(parsed_after(&[&head[..at], &head[at..]]), Some(1), "{at}");
        }
        let bytes: Vec<&[u8]> = head.chunks(1).collect();
        assert_eq!(parsed_after(&bytes), Some(head.len() - 1));
        assert_eq!(
            parsed_after(&[b"GET / HTTP/1.0\nhost: t\n", b"\n{"]),
            Some(1)
        );
    }

    #[test]
    fn what_is_no_head_or_too_long_a_one_goes_on_at_once() {
        for none in [
            &b"\x16\x03\x01"[..],
            b"\r\n\r\n{\"a\"",
            b"GET / HTTP/2.0\r\n",
            b"HELO example\r\n",
        ] {
            assert_eq!(parsed_after(&[none]), Some(0), "{none:?}");
        }
        let long = [&b"GET / HTTP/1.1\r\nx: "[..], &[b'a'; SMALL]].concat();
        assert_eq!(parsed_after(&[&long[..SMALL - 1]]), None);
        assert_eq!(parsed_after(&[&long[..SMALL]]), Some(0));
        assert_eq!(parsed_after(&[&[b'\n'; SMALL]]), Some(0));
    }
}
