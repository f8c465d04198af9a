//! The nouns of the field, and the rules that hold for each by itself. No I/O, no async, no clock:
//! time and ids come in as arguments.

pub mod account;
pub mod address;
pub mod api_key;
pub mod change;
pub mod checksum;
pub mod condition;
pub mod did;
pub mod endpoint;
pub mod expression;
pub mod facts;
pub mod id;
pub mod label;
pub mod location;
pub mod lock;
pub mod media;
pub mod metadata;
pub mod network;
pub mod period;
pub mod place;
pub mod probe;
pub mod replica;
pub mod rule;
mod schema;
pub mod scope;
pub mod shell;
pub mod size;
pub mod stac_id;
pub mod stuck;
pub mod time;
pub mod transfer;
