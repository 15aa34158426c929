//! Panics as values. In: work that may panic. Out: its result, or the panic's text.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

/// Awaits work and turns a panic into its text. What the work borrowed may be in any state
/// afterwards and has to be thrown away.
pub(crate) async fn catch<T>(work: impl Future<Output = T>) -> Result<T, String> {
    catch_pinned(pin!(work)).await
}

/// The same for work that is pinned already, which is then not kept twice.
pub(crate) fn catch_pinned<T>(
    mut work: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, String>> {
    poll_fn(
        move |cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(text(panic))),
        },
    )
}

/// The same for a plain call.
pub(crate) fn catch_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(text)
}

fn text(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(panic) => {
                // A payload may panic when it is dropped, and the payload of that one too.
                if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
                    std::mem::forget(again);
                }
                "a value that is no text".to_owned()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_panics_when_dropped_is_a_panic_like_any_other() {
        struct Twice;
        impl Drop for Twice {
            fn drop(&mut self) {
                std::panic::panic_any(Thrice);
            }
        }
        struct Thrice;
        impl Drop for Thrice {
            fn drop(&mut self) {
                panic!("and again");
            }
        }
        let caught = catch_now(|| std::panic::panic_any(Twice));
        assert_eq!(caught, Err::<(), _>("a value that is no text".to_owned()));
    }
}
