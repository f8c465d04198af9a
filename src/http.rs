//! What all HTTP doors share: problem documents, request ids, who asks and from where, limits, paging,
//! bodies as streams.

pub mod body;
pub mod entry;
pub mod peer;
pub mod problem;
pub mod rates;
pub mod request;
