//! As much of HTTP/1.1 as the load needs: the status, and where the answer ends. In: bytes so
//! far; out: whether that is all of it. Not a client: chunked answers are refused.

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Exactly one answer, with this status.
    Complete(u16),
    /// The beginning of one.
    Partial,
    /// Nothing that this load can time.
    Unreadable(&'static str),
}

/// Judges the bytes so far.
pub(super) fn read(bytes: &[u8]) -> Answer {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Answer::Partial;
    };
    let (head, body) = (&bytes[..head], &bytes[head + 4..]);
    let Some(status) = status(head) else {
        return Answer::Unreadable("no HTTP/1.1 status line");
    };
    let Some(length) = content_length(head) else {
        return Answer::Unreadable("no Content-Length");
    };
    match body.len() {
        shorter if shorter < length => Answer::Partial,
        longer if longer > length => Answer::Unreadable("more bytes than Content-Length says"),
        _ => Answer::Complete(status),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    number(head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).and_then(|status| u16::try_from(status).ok())
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|&byte| byte == b'\n');
    let line = lines
        .find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    number(line[NAME.len()..].trim_ascii())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Answer, read};

    const WHOLE: &[u8] =
        b"HTTP/1.1 201 Created\r\nServer: x\r\ncontent-LENGTH: 2\r\nDate: y\r\n\r\nok";

    #[test]
    fn an_answer_is_complete_with_its_last_byte_and_not_before() {
        for cut in 0..WHOLE.len() {
            assert_eq!(read(&WHOLE[..cut]), Answer::Partial, "{cut}");
        }
        assert_eq!(read(WHOLE), Answer::Complete(201));
    }

    #[test]
    fn what_cannot_be_timed_is_refused() {
        assert!(matches!(
            read(&[WHOLE, b"x"].concat()),
            Answer::Unreadable(_)
        ));
        let chunked = b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(matches!(read(chunked), Answer::Unreadable(_)));
        assert!(matches!(
            read(b"SSH-2.0\r\ncontent-length: 0\r\n\r\n"),
            Answer::Unreadable(_)
        ));
    }
}
