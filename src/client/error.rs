//! What can go wrong between a client and its server.

use std::error::Error as _;

use crate::client::request::STRANGER;
use crate::fault::{Fault, Kind};
use crate::service::view::ProblemView;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with a problem document.
    #[error("{}", .0.detail)]
    Problem(Box<ProblemView>),
    /// No answer came.
    #[error("{url} does not answer: {}", innermost(.source))]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the connection said.
        source: reqwest::Error,
    },
    /// No answer came in time.
    #[error("{url} did not answer within {seconds} seconds")]
    Slow {
        /// What was asked.
        url: String,
        /// How long the client waited.
        seconds: u64,
    },
    /// The answer is not what this version of dapple understands.
    #[error("{url} gave an answer that this client does not understand: {detail}")]
    Protocol {
        /// What was asked.
        url: String,
        /// What was wrong with the answer.
        detail: String,
    },
    /// The address of the server cannot be used.
    #[error("`{url}` is not the address of a server: {detail}")]
    BaseUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// URL parsers swallow this name.
    #[error("a DID named `{name}` cannot be addressed by URL")]
    NotAddressable {
        /// The name.
        name: String,
    },
}

impl ClientError {
    /// The problem document: the server's own, or one that says the same of a failure on the way.
    pub fn problem(&self) -> ProblemView {
        if let ClientError::Problem(problem) = self {
            return (**problem).clone();
        }
        ProblemView {
            kind: "about:blank".to_owned(),
            code: self.code().to_owned(),
            title: "No answer from the server".to_owned(),
            status: 0,
            detail: self.to_string(),
            hint: self.hint(),
            request_id: String::new(),
        }
    }

    /// Tells whether the server is well and only this file is not: none of its replicas can be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, ClientError::Problem(problem) if problem.code == "unreadable")
    }

    /// Tells whether the server is well and has no room for a large upload just now.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, ClientError::Problem(problem) if problem.code == "upload-busy")
    }

    /// Tells whether the server is still at the same call, sent before.
    pub(crate) fn is_in_progress(&self) -> bool {
        matches!(self, ClientError::Problem(problem) if problem.code == "in-progress")
    }

    /// Tells whether the connection came about at all; if not, the server has seen nothing.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, ClientError::Unreachable { source, .. } if source.is_connect())
    }
}

impl Fault for ClientError {
    fn kind(&self) -> Kind {
        match self {
            ClientError::Problem(problem) => kind_of(problem),
            ClientError::Unreachable { .. } | ClientError::Slow { .. } => Kind::Unavailable,
            ClientError::Protocol { .. } => Kind::Internal,
            ClientError::BaseUrl { .. } | ClientError::NotAddressable { .. } => Kind::Invalid,
        }
    }

    /// For a problem this names only that there is one: its own code is in [`ClientError::problem`].
    fn code(&self) -> &'static str {
        match self {
            ClientError::Problem(_) => "answered-with-a-problem",
            ClientError::Unreachable { .. } => "server-unreachable",
            ClientError::Slow { .. } => "server-slow",
            ClientError::Protocol { .. } => "answer-not-understood",
            ClientError::BaseUrl { .. } => "server-address-invalid",
            ClientError::NotAddressable { .. } => "name-not-addressable",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ClientError::Problem(problem) => problem.hint.clone(),
            ClientError::Unreachable { .. } => Some(
                "start one with `dapple demo`, or say where it is: --server, DAPPLE_URL or `dapple context add`"
                    .to_owned(),
            ),
            ClientError::Protocol { .. } => Some(format!("{STRANGER}; or it is a dapple of another version")),
            ClientError::Slow { .. } | ClientError::BaseUrl { .. } | ClientError::NotAddressable { .. } => None,
        }
    }
}

/// What the caller may do about a problem, told from its status. What fills up is told from the
/// code, as servers give it various statuses.
fn kind_of(problem: &ProblemView) -> Kind {
    match problem.status {
        _ if matches!(problem.code.as_str(), "quota-exceeded" | "endpoint-full") => Kind::Exhausted,
        401 => Kind::Unauthenticated,
        403 => Kind::Denied,
        404 | 410 => Kind::NotFound,
        409 | 412 => Kind::Conflict,
        507 => Kind::Exhausted,
        408 | 429 | 502..=504 => Kind::Unavailable,
        400..=499 => Kind::Invalid,
        _ => Kind::Internal,
    }
}

/// The deepest cause says the most: "connection refused" rather than "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    if error.source().is_none() {
        return "the request could not be sent".to_owned();
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_tell_what_to_do() {
        let table = [
            (400, "invalid", Kind::Invalid),
            (401, "no-key", Kind::Unauthenticated),
            (403, "denied", Kind::Denied),
            (404, "not-found", Kind::NotFound),
            (409, "exists", Kind::Conflict),
            (409, "quota-exceeded", Kind::Exhausted),
            (413, "body-too-large", Kind::Invalid),
            (429, "throttled", Kind::Unavailable),
            (500, "internal", Kind::Internal),
            (503, "unavailable", Kind::Unavailable),
            (507, "endpoint-full", Kind::Exhausted),
        ];
        for (status, code, kind) in table {
            let problem = ProblemView {
                kind: String::new(),
                code: code.to_owned(),
                title: String::new(),
                status,
                detail: String::new(),
                hint: None,
                request_id: String::new(),
            };
            assert_eq!(kind_of(&problem), kind, "{status} {code}");
        }
    }
}
