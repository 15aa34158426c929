//! Panics, told once: by who knows what they cost, else by the hook.
//!
//! In: work that may panic. Out: its result, or what the panic said and where. While such work runs, the
//! process's hook tells nothing, because who catches the panic can say whose request it was. A look at one
//! byte of the thread before and after is all that good work pays.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// What a panic said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) message: String,
    /// File and line; empty where the hook is not ours.
    pub(crate) place: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// Whoever runs here tells of its panics.
    Guarded,
    /// And there was one.
    Held,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Free) };
    static HELD: RefCell<Option<Told>> = const { RefCell::new(None) };
}

/// Makes panics events of the log, as all others are.
pub(crate) fn set_hook() {
    std::panic::set_hook(Box::new(hook));
}

fn hook(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or(NO_TEXT).to_owned();
    let place = panic.location().map(ToString::to_string);
    let told = Told {
        message,
        place: place.unwrap_or_default(),
    };
    if STATE.get() == State::Free {
        return told.log();
    }
    // One that was caught on the way is told here, in favour of the one that may not be.
    if let Some(earlier) = HELD.replace(Some(told)) {
        earlier.log();
    }
    STATE.set(State::Held);
}

const NO_TEXT: &str = "a panic without a text";

impl Told {
    fn log(self) {
        let Self { message, place } = self;
        let thread = std::thread::current()
            .name()
            .unwrap_or("unnamed")
            .to_owned();
        tracing::error!(target: "panic", panic = message, place, thread, "panicked");
    }

    fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self {
            message: text.unwrap_or(NO_TEXT).to_owned(),
            place: String::new(),
        }
    }
}

/// Does the work. Who calls this tells what a panic said; what it worked on is not to be used again.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Told> {
    STATE.set(State::Guarded);
    let done = catch_unwind(AssertUnwindSafe(work));
    let held = if STATE.replace(State::Free) == State::Held {
        HELD.take()
    } else {
        None
    };
    match done {
        Ok(done) => {
            // The work itself caught it.
            if let Some(told) = held {
                told.log();
            }
            Ok(done)
        }
        Err(payload) => Err(held.unwrap_or_else(|| Told::of(&*payload))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_work_is_done_and_a_panic_is_told_with_its_words() {
        assert_eq!(caught(|| 5).ok(), Some(5));
        let told = caught(|| panic!("planned {}", "panic")).unwrap_err();
        assert_eq!(told.message, "planned panic");
        let told = caught(|| std::panic::panic_any(7)).unwrap_err();
        assert_eq!(told.message, NO_TEXT);
        assert!(STATE.get() == State::Free);
    }
}
