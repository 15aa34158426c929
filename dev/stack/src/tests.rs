//! Tests against real processes: children, proxies, broker and database.

mod parts;
mod processes;
mod proxies;
mod stacks;
