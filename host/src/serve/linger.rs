//! The end of a connection whose client may still be sending.
//!
//! In: a socket to which everything was written and whose sending side is closed. Out: the moment
//! when it may be closed for good. Closing a socket with unread bytes in it resets the connection,
//! and the reset can overtake the answer on its way to the client; so what still comes is thrown
//! away first, but neither much nor for long.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Most bytes that are thrown away.
const MOST: usize = 256 * 1024;
/// For how long.
const WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Linger {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl Default for Linger {
    fn default() -> Self {
        Self {
            left: MOST,
            until: Box::pin(sleep(WITHIN)),
        }
    }
}

impl Linger {
    /// Reads until the client is done too, or a limit is met. What fails does not matter any more.
    pub(super) fn poll<T: Read + Unpin>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 8 * 1024];
        while self.left > 0 && self.until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut *io).poll_read(cx, buf.unfilled()));
            let count = buf.filled().len();
            if read.is_err() || count == 0 {
                break;
            }
            self.left = self.left.saturating_sub(count);
        }
        Poll::Ready(())
    }
}
