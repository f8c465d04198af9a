//! What can be wrong with the index or with a question to it.

use crate::fault::{Fault, Kind};

/// Why the index could not do something.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The question cannot be answered as it stands.
    #[error("{what}")]
    Question {
        /// What is wrong with it.
        what: String,
        /// What to ask instead.
        hint: String,
    },
    /// The answer would take too long to find.
    #[error("the search looks at more than one search may")]
    TooMuch,
    /// It does not have everything yet.
    #[error("the search index is being built")]
    Building,
    /// Another process has the index open.
    #[error("the search index is in use by another process")]
    InUse,
    /// Stored bytes are not what was written.
    #[error("the search index is damaged: {what}")]
    Damaged {
        /// Which part.
        what: String,
    },
    /// The disk did not do what was asked.
    #[error("could not {act} the search index")]
    Disk {
        /// What was tried.
        act: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl SearchError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        SearchError::Damaged { what: what.into() }
    }

    pub(super) fn question(what: impl Into<String>, hint: impl Into<String>) -> Self {
        SearchError::Question { what: what.into(), hint: hint.into() }
    }

    pub(super) fn disk(act: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| SearchError::Disk { act, source }
    }
}

impl Fault for SearchError {
    fn kind(&self) -> Kind {
        match self {
            SearchError::Question { .. } | SearchError::TooMuch => Kind::Invalid,
            SearchError::Building | SearchError::InUse => Kind::Unavailable,
            SearchError::Damaged { .. } => Kind::Corrupt,
            SearchError::Disk { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            SearchError::Question { .. } => "search-invalid",
            SearchError::TooMuch => "search-too-much",
            SearchError::Building => "search-building",
            SearchError::InUse => "search-in-use",
            SearchError::Damaged { .. } => "search-damaged",
            SearchError::Disk { .. } => "search-disk",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            SearchError::Question { hint, .. } => hint.clone(),
            SearchError::TooMuch => {
                "ask for less: name collections, a shorter time, a simpler shape or rarer words".to_owned()
            }
            SearchError::Building => "try again in a moment; `dapple index status` shows how far it is".to_owned(),
            SearchError::InUse => "stop the other process, or give this one a directory of its own".to_owned(),
            SearchError::Damaged { .. } => {
                "rebuild it: everything in it comes from the catalog, so wiping it loses nothing".to_owned()
            }
            SearchError::Disk { .. } => "look for room and permissions where the lake is kept".to_owned(),
        })
    }
}
