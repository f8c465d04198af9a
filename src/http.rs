//! What all HTTP doors share: problem documents, request ids, who asks and from where, on which terms,
//! limits, paging, answers, bodies as streams.

pub mod answer;
pub mod body;
pub mod entry;
pub mod panic;
pub mod peer;
pub mod problem;
pub mod rates;
pub mod request;
pub mod terms;
