//! The text of `--help`: every variable with its meaning and default.
//!
//! In: the same tables that the reader reads by. Out: the text, so that help and
//! behaviour cannot drift apart.

use std::fmt::Write;

use super::Var;

/// What `--help` prints.
pub fn help_text(service: &str, about: &str, usage: &str, tables: &[&[Var]]) -> String {
    let mut out = format!(
        "{service}: {about}\n\n{usage}\n\nEnvironment (a variable that is set to nothing counts as not set):\n"
    );
    for var in tables.iter().flat_map(|table| table.iter()) {
        let state = match (var.default, var.required) {
            (Some(default), _) => format!("[default: {default}]"),
            (None, true) => "[required]".to_owned(),
            (None, false) => "[optional]".to_owned(),
        };
        let secret = if var.secret { " [never shown]" } else { "" };
        // Writing to a String cannot fail.
        writeln!(
            out,
            "  {:<30} {state}{secret}\n      {}",
            var.name, var.help
        )
        .expect("a String takes any text");
    }
    out
}
