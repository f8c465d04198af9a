//! The search index: documents by place, time, words and fields. It follows the change feed and
//! can be rebuilt from the catalog at any time, so nothing here is a truth of its own.
//!
//! Documents lie in segments, immutable and sorted by time, the newest first; what a search looks
//! at is kept in memory as columns, what it hands back lies compressed in files. A batch becomes a
//! segment in memory and a record of the journal; many small segments become few large ones.

pub mod access;
mod area;
mod blob;
pub mod document;
pub mod error;
mod find;
pub mod follow;
pub mod geojson;
pub mod index;
pub mod item;
mod journal;
mod manifest;
pub mod query;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
pub mod value;
mod words;
