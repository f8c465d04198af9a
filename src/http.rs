//! What all HTTP doors share: problem documents, request ids, who asks, on which terms, paging,
//! answers, bodies as streams.

pub mod answer;
pub mod body;
pub mod panic;
pub mod problem;
pub mod request;
pub mod terms;
