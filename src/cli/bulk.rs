//! `--from FILE`: lines of JSON go up from a file or stdin, and what came of them is summed.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::pin::pin;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::cli::Session;
use crate::cli::failure::Failure;
use crate::cli::screen::{Format, Row, Style};
use crate::client::ClientError;
use crate::service::view::{MovedChunk, RefusedLine};

/// Bytes read from the file of lines at once.
const READ_BYTES: usize = 64 * 1024;
/// Refused lines that a report keeps; further ones are only counted.
const REFUSED_KEPT_MAX: usize = 1_000;

/// What came of lines, in all. Refused lines are kept and counted by [`report`].
pub(crate) trait Tally: Row + Default {
    /// The answer to a chunk of lines.
    type Chunk: Serialize;

    /// Counts a chunk, and hands over its refused lines.
    fn add(&mut self, chunk: Self::Chunk) -> Vec<RefusedLine>;
    /// How many lines were not refused.
    fn good(&self) -> u64;
    /// Where refused lines are kept.
    fn refused(&mut self) -> &mut Refused;
}

/// Lines that were refused.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Refused {
    refused_count: u64,
    refused: Vec<RefusedLine>,
}

impl Refused {
    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.refused_count
    }

    fn add(&mut self, lines: Vec<RefusedLine>) {
        self.refused_count += lines.len() as u64;
        let room = REFUSED_KEPT_MAX - self.refused.len();
        self.refused.extend(lines.into_iter().take(room));
    }
}

/// What came of lines that make, attach or detach.
#[derive(Debug, Default, Serialize)]
pub(crate) struct MovedSum {
    done: u64,
    same: u64,
    #[serde(flatten)]
    refused: Refused,
}

impl Row for MovedSum {
    const HEADERS: &'static [&'static str] = &["DONE", "SAME", "REFUSED"];

    fn cells(&self, _style: Style) -> Vec<String> {
        [self.done, self.same, self.refused.count()].map(|n| n.to_string()).to_vec()
    }
}

impl Tally for MovedSum {
    type Chunk = MovedChunk;

    fn add(&mut self, chunk: MovedChunk) -> Vec<RefusedLine> {
        self.done += chunk.done;
        self.same += chunk.same;
        chunk.refused
    }

    fn good(&self) -> u64 {
        self.done + self.same
    }

    fn refused(&mut self) -> &mut Refused {
        &mut self.refused
    }
}

/// Prints the answers to lines as they come, or their sum.
pub(crate) async fn report<T: Tally>(
    session: &mut Session,
    answers: impl Stream<Item = Result<T::Chunk, ClientError>>,
) -> Result<(), Failure> {
    let mut answers = pin!(answers);
    let mut sum = T::default();
    let line = session.screen.status_line();
    while let Some(chunk) = answers.try_next().await? {
        if session.screen.format == Format::Ndjson {
            let text = serde_json::to_string(&chunk).expect("views have text keys only");
            session.screen.print(&format!("{text}\n"))?;
        }
        let refused = sum.add(chunk);
        for refused in &refused {
            line.suspend(|| session.screen.talk().say(&told(refused)));
        }
        sum.refused().add(refused);
        line.set_message(format!("{} done", sum.good()));
        line.tick();
    }
    line.finish_and_clear();
    if session.screen.format != Format::Ndjson {
        session.screen.one(&sum)?;
    }
    match sum.refused().count() {
        0 => Ok(()),
        failed => Err(Failure::Partly { failed, all: failed + sum.good(), things: "lines" }),
    }
}

/// A refused line in words: what is wrong, and what to do about it.
fn told(refused: &RefusedLine) -> String {
    let hint = refused.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
    format!("line {}: {} ({}){hint}", refused.line, refused.detail, refused.code)
}

/// The bytes of a file, or of stdin where that is `-`.
pub(crate) async fn lines(from: &Path) -> Result<BoxStream<'static, io::Result<Bytes>>, Failure> {
    if from == Path::new("-") {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned();
        let stdin = stdin.map_err(|source| Failure::io("read", from, source))?;
        return Ok(read_on(tokio::fs::File::from_std(stdin.into())));
    }
    let file = tokio::fs::File::open(from).await.map_err(|source| Failure::io("read", from, source))?;
    Ok(read_on(file))
}

fn read_on(reader: impl AsyncRead + Unpin + Send + 'static) -> BoxStream<'static, io::Result<Bytes>> {
    stream::try_unfold(reader, async |mut reader| {
        let mut buffer = vec![0; READ_BYTES];
        let taken = reader.read(&mut buffer).await?;
        buffer.truncate(taken);
        Ok((taken > 0).then(|| (Bytes::from(buffer), reader)))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_line_says_what_would_help_if_that_is_known() {
        let refused = |hint: Option<&str>| RefusedLine {
            line: 7,
            code: "did-closed".to_owned(),
            detail: "`s:d` is closed".to_owned(),
            hint: hint.map(str::to_owned),
        };
        assert_eq!(told(&refused(None)), "line 7: `s:d` is closed (did-closed)");
        assert_eq!(told(&refused(Some("open it"))), "line 7: `s:d` is closed (did-closed); open it");
    }
}
