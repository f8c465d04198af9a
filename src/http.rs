//! What all HTTP doors share: problem documents, request ids, who asks, paging, bodies as streams.

pub mod body;
pub mod peer;
pub mod problem;
pub mod request;
