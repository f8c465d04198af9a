//! Dapple: a catalog of datasets and replicas over many storages, a rule engine that keeps
//! replication policies satisfied, and a signed-URL gateway, in one binary.
//!
//! The house is built in storeys, listed here from the ground up. A module imports only from
//! storeys below its own; modules of one storey meet in the catalog, not in each other.
//! `tests/tidy.rs` reads this list and fails on an import that points upward or sideways.

// storey 0: kinds of failure
pub mod fault;

// storey 1: nouns, without I/O, async or a clock
pub mod model;

// storey 2: seams to the world
pub mod clock;
pub mod config;
pub mod net;
pub mod telemetry;

// storey 3: what is kept, where bytes are, who may
pub mod catalog;
pub mod policy;
pub mod storage;

// storey 4: the thinking
pub mod replicas;
pub mod rules;
pub mod search;
pub mod transfers;

// storey 5: use-cases, the only door to the house
pub mod service;

// storey 6: reconcilers, and what all HTTP doors share
pub mod http;
pub mod workers;

// storey 7: doors
pub mod api;
pub mod client;
pub mod gateway;
pub mod web;

// storey 8: settings become parts
pub mod app;

// storey 9: the command line
pub mod cli;
