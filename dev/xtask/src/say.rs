//! What the user sees. In: lines; out: the terminal, coloured only if it is one. It must not fail
//! because nobody reads.

use std::io::{IsTerminal as _, Write as _};

/// Prints a line of our own.
pub(crate) fn say(line: &str) {
    // A closed pipe is the reader's choice, not an error of ours.
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// Prints an error.
pub(crate) fn complain(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// Prints a line that a service logged, behind its name.
pub(crate) fn relay(name: &str, line: &str) {
    if std::io::stdout().is_terminal() {
        say(&format!("\x1b[{}m{name:>13} │\x1b[0m {line}", colour(name)));
    } else {
        say(&format!("{name:>13} │ {line}"));
    }
}

/// Each name always has the same colour.
fn colour(name: &str) -> u8 {
    match name {
        "producer-svc" => 36,
        "consumer-svc" => 35,
        _ => 90,
    }
}
