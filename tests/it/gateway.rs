//! Signed URLs over a real socket: bytes in by PUT, out by GET, and every way in which a URL may be
//! wrong.

mod datasets;
mod from;
mod reads;
mod redirects;
mod refusals;
mod replicas;
mod store;
mod tools;
mod unsigned;
mod uploads;
mod world;
