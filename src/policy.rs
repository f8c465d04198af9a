//! placeholder
pub mod decision;
