//! How a command can fail, which exit code that gives, and what a person is told.

use std::io;
use std::path::{Path, PathBuf};

use crate::app::error::AppError;
use crate::catalog::backup::BackupError;
use crate::client::ClientError;
use crate::config::resolve::Slips;
use crate::fault::{Fault as _, Kind};
use crate::service::view::ProblemView;

/// A command that did not fully succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server refused, or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was typed makes no sense.
    #[error("{detail}")]
    Usage { detail: String, hint: Option<String> },
    /// The settings, or some of them, cannot be used.
    #[error(transparent)]
    Settings(#[from] Slips),
    /// Something on this machine cannot be read or written.
    #[error("could not {act} {}: {source}", .path.display())]
    Io { act: &'static str, path: PathBuf, source: io::Error },
    /// The report is out; some files failed.
    #[error("{failed} of {all} {things} failed")]
    Partly { failed: u64, all: u64, things: &'static str },
    /// The rule got stuck, or still is.
    #[error("the rule is stuck")]
    Stuck { hint: String },
    /// The rule is not there yet.
    #[error("the rule is not {wanted} after {waited}")]
    TimedOut { wanted: &'static str, waited: String },
    /// Data could not be printed.
    #[error("could not print: {0}")]
    Print(io::Error),
    /// The server ended, or did not begin.
    #[error(transparent)]
    Server(#[from] AppError),
    /// A backup cannot be read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The catalog contradicts itself, or secrets in it cannot be opened.
    #[error("{}", unwell(*count, *secrets_only))]
    Unwell { count: usize, secrets_only: bool },
    /// Policies do not hold together, or their tests give other answers.
    #[error("the policies are wrong in {count} places")]
    Flawed { count: usize },
    /// The demo did not find what it should.
    #[error("the demo failed: {0}")]
    Unmet(String),
}

impl Failure {
    pub(crate) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        Failure::Io { act, path: path.to_owned(), source }
    }

    /// The process's exit code: see `docs/cli.md`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Client(error) => code_of(error.kind()),
            Failure::Backup(error) | Failure::Server(AppError::Backup(error)) => code_of(error.kind()),
            Failure::Usage { .. } | Failure::Settings(_) => 2,
            Failure::Partly { failed, all, .. } if failed < all => 3,
            Failure::TimedOut { .. } => 8,
            Failure::Stuck { .. } => 9,
            // Whoever reads our data has seen enough, as in `dapple ls | head`.
            Failure::Print(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Failure::Partly { .. }
            | Failure::Io { .. }
            | Failure::Print(_)
            | Failure::Unmet(_)
            | Failure::Flawed { .. }
            | Failure::Unwell { .. }
            // The other codes are about what was asked of a server; here there is none.
            | Failure::Server(_) => 1,
        }
    }

    /// Tells whether there is nothing to say.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Failure::Print(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What is told about it: the server's own problem, or one in the same shape.
    pub(crate) fn problem(&self) -> ProblemView {
        if let Failure::Client(error) = self {
            return error.problem();
        }
        ProblemView {
            kind: "about:blank".to_owned(),
            code: self.code().to_owned(),
            title: "The command failed".to_owned(),
            status: 0,
            detail: self.to_string(),
            hint: self.hint(),
            request_id: String::new(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Failure::Client(error) => error.code(),
            Failure::Usage { .. } => "usage",
            Failure::Settings(_) => "settings",
            Failure::Io { .. } => "local-io",
            Failure::Partly { .. } => "partly-done",
            Failure::Stuck { .. } => "rule-stuck",
            Failure::TimedOut { .. } => "wait-timed-out",
            Failure::Print(_) => "print-failed",
            Failure::Server(error) => error.code(),
            Failure::Backup(error) => error.code(),
            Failure::Unmet(_) => "demo-failed",
            Failure::Flawed { .. } => "policies-flawed",
            Failure::Unwell { secrets_only: true, .. } => "secrets-locked",
            Failure::Unwell { .. } => "catalog-unwell",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Failure::Usage { hint, .. } => hint.clone(),
            Failure::Settings(_) => {
                Some("`dapple config describe KEY` tells what a setting takes, `dapple config template` lists all".to_owned())
            }
            Failure::Stuck { hint } => Some(hint.clone()),
            Failure::Server(error) => error.hint(),
            Failure::Backup(error) => error.hint(),
            Failure::Unwell { secrets_only: true, .. } => Some(
                "bring back `instance.key` in the lake's directory and restart, or set each secret again with `dapple endpoint set NAME --secret-file FILE`"
                    .to_owned(),
            ),
            Failure::Unwell { .. } => Some("report it with the output of `dapple doctor -o json`".to_owned()),
            _ => None,
        }
    }
}

fn unwell(count: usize, secrets_only: bool) -> String {
    if secrets_only {
        format!("the secrets of {count} endpoints cannot be opened")
    } else {
        format!("the catalog contradicts itself in {count} places")
    }
}

fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::Invalid => 2,
        Kind::NotFound => 4,
        Kind::Unauthenticated | Kind::Denied => 5,
        Kind::Conflict => 6,
        Kind::Exhausted => 7,
        Kind::Unavailable => 8,
        Kind::Corrupt | Kind::Internal => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_a_promise() {
        let problem = |status, code: &str| {
            Failure::Client(ClientError::Problem(Box::new(ProblemView {
                kind: String::new(),
                code: code.to_owned(),
                title: String::new(),
                status,
                detail: String::new(),
                hint: None,
                request_id: String::new(),
            })))
        };
        let partly = |failed, all| Failure::Partly { failed, all, things: "files" };
        let io = |kind| Failure::Print(io::Error::from(kind));
        let table = [
            (problem(400, "invalid"), 2),
            (problem(401, "key-missing"), 5),
            (problem(403, "denied"), 5),
            (problem(404, "not-found"), 4),
            (problem(409, "exists"), 6),
            (problem(409, "quota-exceeded"), 7),
            (problem(507, "endpoint-full"), 7),
            (problem(500, "internal"), 1),
            (problem(503, "unavailable"), 8),
            (partly(1, 2), 3),
            (partly(2, 2), 1),
            (Failure::Stuck { hint: String::new() }, 9),
            (Failure::TimedOut { wanted: "ok", waited: String::new() }, 8),
            (Failure::Server(AppError::file(Path::new("/x"))(io::ErrorKind::NotFound.into())), 1),
            (io(io::ErrorKind::BrokenPipe), 0),
            (io(io::ErrorKind::StorageFull), 1),
        ];
        for (failure, code) in table {
            assert_eq!(failure.exit_code(), code, "{failure:?}");
        }
    }
}
