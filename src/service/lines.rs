//! What all work in bulk has in common: lines are read a chunk at a time, what is wrong with a line is
//! that line's outcome, and what whoever asks may do is looked at anew for every chunk, as a stream of
//! them may take hours.

use crate::fault::{Fault as _, Kind};
use crate::service::error::ServiceError;
use crate::service::view::RefusedLine;
use crate::service::{Context, accounts};

/// How many lines are one chunk.
pub const CHUNK: usize = crate::catalog::TRANSACTION_FILES_MAX;

/// The lines of a chunk that could be read, with their numbers, and those that are refused.
pub(super) struct Lines<T> {
    pub(super) numbers: Vec<u64>,
    pub(super) items: Vec<T>,
    pub(super) refused: Vec<RefusedLine>,
}

impl<T> Lines<T> {
    /// Reads lines of which the first has the number `first`; empty ones are passed over.
    pub(super) fn read(first: u64, lines: &[String], read: impl Fn(&str) -> Result<T, ServiceError>) -> Self {
        let (numbers, items) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        let mut all = Self { numbers, items, refused: Vec::new() };
        for (number, text) in (first..).zip(lines).filter(|(_, text)| !text.is_empty()) {
            match read(text) {
                Ok(item) => {
                    all.numbers.push(number);
                    all.items.push(item);
                }
                Err(error) => all.refused.push(refused(number, &error)),
            }
        }
        all
    }
}

/// A line of JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ServiceError> {
    serde_json::from_str(text).map_err(|error| ServiceError::invalid("invalid-line", error))
}

/// A line that is refused for an error.
pub(super) fn refused(line: u64, error: &ServiceError) -> RefusedLine {
    RefusedLine { line, code: error.code().to_owned(), detail: error.to_string(), hint: error.hint() }
}

/// Lines that are all refused for one error.
pub(super) fn all_refused<'a>(
    lines: impl IntoIterator<Item = &'a u64>,
    error: &ServiceError,
) -> impl Iterator<Item = RefusedLine> {
    lines.into_iter().map(|line| refused(*line, error))
}

/// What is wrong with a line is its outcome; what is wrong with the lake ends the work.
pub(super) fn of_line<T>(tried: Result<T, ServiceError>) -> Result<Result<T, ServiceError>, ServiceError> {
    match tried {
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Corrupt | Kind::Internal) => Err(error),
        tried => Ok(tried),
    }
}

/// Does the work of a chunk by what the account and its key may do by now. Where they may no more what they
/// might when the stream began, that is the outcome of all its lines: the answer is not broken off.
pub(super) async fn by_present_rights<T, F>(
    ctx: &Context,
    work: impl FnOnce(Context) -> F,
) -> Result<Result<T, ServiceError>, ServiceError>
where
    F: Future<Output = Result<T, ServiceError>>,
{
    let tried = async {
        // A rehearsal of each chunk by itself: one of them all would grow with their number.
        let ctx = accounts::renewed(ctx).await?.apart().await?;
        work(ctx).await
    };
    of_line(tried.await)
}
