//! The habits of this repository that neither the compiler nor clippy can check. In: the text of
//! its files. Out: what breaks a rule, by file and line. The rules themselves are in `tidy/rules`.

mod code;
mod rules;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::{fmt, fs, io};

use code::Code;

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A text file: its path from the root of the repository with `/`, and what is in it.
#[derive(Debug)]
struct File {
    path: String,
    text: String,
}

/// Checks every text file of the repository at `root`.
pub(crate) fn check(root: &Path) -> io::Result<Vec<Finding>> {
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(check_files(&files))
}

fn check_files(files: &[File]) -> Vec<Finding> {
    let mut findings = rules::about_the_tree(files);
    for file in files {
        rules::about_text(file, &mut findings);
        if file.path.ends_with(".rs") {
            rules::about_rust(file, &Code::read(&file.text), &mut findings);
        }
    }
    findings.dedup();
    findings
}

/// Built, installed or private: nothing of the repository's own.
fn is_foreign(name: &str) -> bool {
    let own_hidden = [".ci", ".cargo"].contains(&name);
    let built = ["target", "node_modules", "__pycache__"].contains(&name);
    built || (name.starts_with('.') && !own_hidden)
}

fn collect(folder: &Path, below: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // In a second worktree this is a file, which holds a path of the machine.
        if name == ".git" {
            continue;
        }
        let path = match below {
            "" => name.clone(),
            _ => format!("{below}/{name}"),
        };
        if entry.file_type()?.is_dir() {
            if !is_foreign(&name) {
                collect(&entry.path(), &path, files)?;
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
    Ok(())
}
