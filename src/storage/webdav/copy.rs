//! Copies within one server, without the bytes passing through this process.
//!
//! COPY goes to the source's own server alone: Apache answers 201 to a COPY to another server's
//! port, and copies to itself. XRootD answers 201 at once and says in the last line of the body how
//! it ended; so lines are read, and then what arrived is looked at all the same.

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::model::id::IntentId;
use crate::storage::backend::{Staged, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::webdav::Webdav;
use crate::storage::webdav::collections::above;
use crate::storage::webdav::look::Seen;
use crate::storage::webdav::server::{Ask, Verb, collect, faulty, long_span, refusal};
use crate::storage::webdav::style::is_risky;

/// Markers of a long copy come every few seconds; this is a day of them.
const REPORT_BYTES_MAX: usize = 16 << 20;

impl Webdav {
    pub(super) async fn stage_within(
        &self,
        path: &StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &Webdav,
        source_path: &StoragePath,
    ) -> Result<Option<Staged>, StorageError> {
        if !self.can.copy || !self.server.is_same(&source.server) {
            return Ok(None);
        }
        self.holds_name(path.as_str()).await?;
        source.reads_name(source_path.as_str()).await?;
        if is_risky(source_path.as_str()) {
            source.server.look(source_path.as_str()).await?;
        }
        self.root_is_there().await?;
        let temporary = path.temporary(intent);
        self.waiting.remove(&temporary);
        let was_begun = self.begun.has(&temporary);
        if was_begun {
            // A dropped attempt may still be writing there.
            self.remove(&temporary).await?;
        }
        self.begun.add(&temporary, bytes);
        match self.copy(source, source_path.as_str(), &temporary, bytes).await {
            Ok(false) => {
                if !was_begun {
                    self.begun.remove(&temporary);
                }
                Ok(None)
            }
            Ok(true) => match self.arrived(&temporary, bytes).await {
                Err(StorageError::Faulty { path, what }) => {
                    Err(self.blame(source, source_path, bytes).await.unwrap_or(StorageError::Faulty { path, what }))
                }
                arrived => {
                    let staged = arrived?;
                    self.begun.remove(&temporary);
                    Ok(Some(staged))
                }
            },
            Err(error) => {
                self.sweep(&temporary).await;
                Err(self.blame(source, source_path, bytes).await.unwrap_or(error))
            }
        }
    }

    /// Copies; `false` if the server does not do that.
    pub(super) async fn copy(
        &self,
        source: &Webdav,
        from: &str,
        temporary: &str,
        bytes: u64,
    ) -> Result<bool, StorageError> {
        let above = above(temporary);
        if !self.known.has(above) {
            self.make_above(temporary).await?;
        }
        for is_last in [false, true] {
            let mut ask = Ask::new(Verb::Copy, source.server.address.object(from), temporary);
            ask = ask.header("overwrite", "T").header("depth", "0");
            // To XRootD this is a URL to PUT to, which it encodes as it finds it.
            let destination = self.server.address.object(temporary);
            let destination = HeaderValue::from_str(destination.as_str()).expect("a URL is ASCII");
            ask.headers.insert("destination", destination);
            ask.span = Some(long_span(bytes));
            let response = self.server.ask(ask).await?;
            match response.status().as_u16() {
                200..=202 | 204 => return verdict(temporary, response).await.map(|()| true),
                405 | 501 => return Ok(false),
                // nginx answers 500 where others say that a collection is missing.
                404 | 409 | 500 if !is_last => {
                    self.known.forget(above);
                    self.make_above(temporary).await?;
                }
                404 | 409 => return Err(self.obstacle(temporary).await?),
                500 => return Err(faulty(temporary, format!("it answered {} to a COPY", response.status()))),
                _ => return Err(refusal(temporary, response.status())),
            }
        }
        Ok(false)
    }

    /// The source's fault, if it has any.
    async fn blame(&self, source: &Webdav, path: &StoragePath, bytes: u64) -> Option<StorageError> {
        match source.server.look(path.as_str()).await {
            Ok(Seen::Nothing) => Some(source.absent(path.as_str()).await),
            Ok(Seen::Object(found)) if found != bytes => {
                Some(StorageError::WrongLength { path: path.to_string(), expected: bytes, found })
            }
            _ => None,
        }
    }
}

/// Reads how a copy ended.
async fn verdict(about: &str, response: Response) -> Result<(), StorageError> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let may_report = kind.starts_with("text/plain") || kind.is_empty();
    let body = collect(about, response, REPORT_BYTES_MAX).await?;
    if may_report { judge(about, &String::from_utf8_lossy(&body)) } else { Ok(()) }
}

fn judge(about: &str, report: &str) -> Result<(), StorageError> {
    let failed = |what: &str| {
        // Whatever is said of the cause may quote a URL with a token in its query.
        let what: String = what.split(['?', '\r', '\n']).next().unwrap_or_default().chars().take(200).collect();
        Err(faulty(about, format!("its copy ended with `{what}`")))
    };
    let lines = report.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(last) = lines.clone().next_back() else { return Ok(()) };
    let lower = last.to_ascii_lowercase();
    let is_marked = lines.clone().any(|line| line.eq_ignore_ascii_case("Perf Marker"));
    if lower.starts_with("success") {
        Ok(())
    } else if lower.starts_with("failure") || lower.starts_with("aborted") {
        failed(last)
    } else if is_marked {
        failed("a marker and no verdict")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_tells_how_a_copy_ended() {
        let markers = "Perf Marker\nTimestamp: 1\nStripe Bytes Transferred: 5\nEnd\n";
        let table = [
            ("", None),
            ("success: Created", None),
            (&format!("{markers}success: Created\n"), None),
            ("Success: ", None),
            ("Resource has been created.", None),
            ("failure: source is not there", Some("source is not there")),
            (&format!("{markers}failure: 404 at http://h/a?authz=secret"), Some("404 at http://h/a")),
            ("aborted: by the user\r\n", Some("aborted: by the user")),
            (markers, Some("no verdict")),
            (&format!("success: early\n{markers}"), Some("no verdict")),
        ];
        for (report, expected) in table {
            match (judge("a", report), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(words)) => {
                    let error = error.to_string();
                    assert!(error.contains(words) && !error.contains("secret"), "{error}");
                }
                (found, _) => panic!("{report:?}: {found:?}"),
            }
        }
    }
}
