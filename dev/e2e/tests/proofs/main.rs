//! The promises, proved on the real broker and database with the real services as processes.
//!
//! One file a promise. Proofs share a broker and a database as long as they leave them alone; who
//! kills or freezes one has its own. Run by `cargo xtask test`, which builds the services first.

mod absent_leader;
mod bad_input;
mod broker_faults;
mod broker_killed;
mod browser;
mod catalog;
mod client_replaced;
mod consumer_faults;
mod consumer_killed;
mod database_down;
mod database_faults;
mod database_says;
mod dead_letters;
mod described;
mod empty_metadata;
mod foreign_client;
mod half_sent;
mod histories;
mod history_reads;
mod history_turns;
mod idle_connections;
mod large_letters;
mod leaders_moved;
mod leaving;
mod letters_under_faults;
mod observed;
mod overload;
mod permission_lost;
mod poison;
mod prefetch;
mod producer_drain;
mod producer_killed;
mod rebalance;
mod refusals;
mod refused_documents;
mod replays;
mod replicas_missing;
mod retries;
mod schema;
mod secured;
mod standalone;
mod statistics;
mod stopped;
mod taken_later;
mod topic_faults;
mod torture;
mod traced;
mod twenty_thousand;
mod two_hundred_thousand;
mod watched;
