//! A stream that marks when the client takes nothing, and that is not closed in the face of a client
//! that is still sending. What was read of it already is read again.
//!
//! In and out: bytes, untouched.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::activity::Activity;
use super::linger::Linger;

/// A head and a small body go as one piece up to this length: to copy them costs less than what the
/// kernel does for a list of pieces.
const TOGETHER: usize = 1024;

pub(super) struct Observed<T> {
    io: T,
    /// What was read of it before, until that is read again.
    first: Bytes,
    activity: Arc<Activity>,
    ending: Option<Linger>,
}

impl<T> Observed<T> {
    pub(super) fn new(io: T, first: Vec<u8>, activity: Arc<Activity>) -> Self {
        Self {
            io,
            first: first.into(),
            activity,
            ending: None,
        }
    }

    fn wrote(&self, result: Poll<std::io::Result<usize>>) -> Poll<std::io::Result<usize>> {
        match result {
            Poll::Pending => self.activity.stalled(),
            Poll::Ready(_) => self.activity.moved(),
        }
        result
    }
}

impl<T: Read + Unpin> Read for Observed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Read + Write + Unpin> Write for Observed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.ending.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            if !this.activity.is_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        if this.ending.is_none() {
            this.activity.ends();
        }
        let ending = this.ending.get_or_insert_default();
        ending.poll(&mut this.io, cx).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let mut space = [0; TOGETHER];
        let result = match gather(bufs, &mut space) {
            Some(all) => Pin::new(&mut self.io).poll_write(cx, all),
            None => Pin::new(&mut self.io).poll_write_vectored(cx, bufs),
        };
        self.wrote(result)
    }
}

/// What is short enough, in one piece.
fn gather<'a>(bufs: &[IoSlice<'_>], space: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut at = 0;
    for buf in bufs {
        space.get_mut(at..at + buf.len())?.copy_from_slice(buf);
        at += buf.len();
    }
    Some(&space[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_goes_in_one_piece_and_what_is_long_is_left_as_it_is() {
        let mut space = [0; 8];
        let pieces = [
            IoSlice::new(b"head"),
            IoSlice::new(b""),
            IoSlice::new(b"body"),
        ];
        assert_eq!(gather(&pieces, &mut space), Some(&b"headbody"[..]));
        let pieces = [IoSlice::new(b"head"), IoSlice::new(b"body!")];
        assert_eq!(gather(&pieces, &mut space), None);
        assert_eq!(gather(&[], &mut space), Some(&b""[..]));
    }
}
