//! The catalog: what the lake knows, kept durably and changed only in serializable transactions.

pub mod engine;
pub mod key;
