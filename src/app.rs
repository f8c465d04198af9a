//! (to be written)

pub mod demo;
pub mod serve;
