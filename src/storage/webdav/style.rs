//! Finds out how a server takes names that have to be encoded.
//!
//! XRootD 5.5 decodes no Destination header and encodes no href: moved to `a%20b`, an object is
//! called `a%20b`. So before the first such name is moved to, one is tried out; and of an href that
//! reads in two ways, the server is asked which one it knows.

use crate::storage::backend::{Overwrite, StorageError};
use crate::storage::webdav::Webdav;
use crate::storage::webdav::address::{Style, is_plain};
use crate::storage::webdav::look::Seen;
use crate::storage::webdav::server::{Ask, Payload, Verb, refusal};

/// XRootD, which takes names literally, cuts off the last byte of longer ones when it lists them.
const LITERAL_NAME_BYTES_MAX: usize = 254;

/// Tells whether some servers take a path for another one, however it is encoded.
pub(super) fn is_risky(path: &str) -> bool {
    path.contains(|c: char| c == '?' || c.is_control())
}

impl Webdav {
    /// How a Destination header has to name a path; tried out once, when it matters.
    pub(super) async fn destination_style(&self, path: &str) -> Result<Style, StorageError> {
        let whole = self.server.address.destination(path, Style::Literal);
        if is_plain(path) && self.server.address.destination(path, Style::Encoded) == whole {
            return Ok(Style::Encoded);
        }
        self.tried_style().await
    }

    /// Refuses names that nothing may be written under: those that the server would take for others,
    /// and those that it would not list.
    pub(super) async fn holds_name(&self, path: &str) -> Result<(), StorageError> {
        self.takes_name(path).await?;
        let is_long = path.split('/').any(|name| name.len() > LITERAL_NAME_BYTES_MAX);
        if !is_long || self.tried_style().await? == Style::Encoded {
            return Ok(());
        }
        let why = format!("the server lists no name of more than {LITERAL_NAME_BYTES_MAX} bytes");
        Err(StorageError::Outside { path: path.to_owned(), why })
    }

    /// Refuses names that the server would take for others.
    pub(super) async fn takes_name(&self, path: &str) -> Result<(), StorageError> {
        if !is_risky(path) || self.tried_style().await? == Style::Encoded {
            return Ok(());
        }
        let why = "the server cannot be told of `?` and control characters in a name".to_owned();
        Err(StorageError::Outside { path: path.to_owned(), why })
    }

    /// The same before something is read. Where nothing may be written, and so nothing be tried out,
    /// the name in the server's answer has to tell.
    pub(super) async fn reads_name(&self, path: &str) -> Result<(), StorageError> {
        match self.takes_name(path).await {
            Err(StorageError::Denied { .. } | StorageError::Full { .. } | StorageError::Faulty { .. }) => Ok(()),
            takes => takes,
        }
    }

    async fn tried_style(&self) -> Result<Style, StorageError> {
        self.destinations.get_or_try_init(|| self.try_destination()).await.copied()
    }

    /// How hrefs are written, judged by one with a `%` in it; `None` if it reads neither way.
    pub(super) async fn href_style(&self, href: &str) -> Result<Option<Style>, StorageError> {
        if let Some(style) = self.hrefs.get() {
            return Ok(Some(*style));
        }
        let (encoded, literal) = (Style::Encoded, Style::Literal);
        if self.server.address.below(href, encoded) == self.server.address.below(href, literal) {
            // A lone `%` reads the same in both ways, and says nothing of others.
            return Ok(Some(encoded));
        }
        for style in [encoded, literal] {
            let Some(path) = self.server.address.below(href, style) else { continue };
            match self.server.look(&path).await {
                Ok(Seen::Object(_) | Seen::Collection) => {
                    let known = self.hrefs.get_or_init(|| std::future::ready(style)).await;
                    return Ok(Some(*known));
                }
                Ok(Seen::Nothing) | Err(StorageError::Outside { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn try_destination(&self) -> Result<Style, StorageError> {
        // XRootD would make it.
        self.root_is_there().await?;
        let name = self.probe_name();
        let (from, to, mistaken) = (format!("{name}-from"), format!("{name}-to %41"), format!("{name}-to%20%2541"));
        let mut ask = Ask::new(Verb::Put, self.server.address.object(&from), &from);
        ask.payload = Payload::Held(bytes::Bytes::from_static(b"?"));
        let response = self.server.ask(ask).await?;
        if !response.status().is_success() {
            return Err(refusal(&from, response.status()));
        }
        let encoded = self.server.address.destination(&to, Style::Encoded);
        let encoded = reqwest::header::HeaderValue::from_bytes(&encoded).expect("it is ASCII");
        let moved = self.relocate(&from, &to, encoded, Overwrite::Refuse).await;
        let there = match moved {
            Ok(()) => self.server.look(&to).await,
            Err(error) => Err(error),
        };
        let mut mistaken_is_there = false;
        for left in [&from, &to, &mistaken] {
            let was_there = self.remove(left).await.unwrap_or(false);
            mistaken_is_there |= was_there && left == &mistaken;
        }
        match there? {
            Seen::Object(_) => Ok(Style::Encoded),
            Seen::Nothing if mistaken_is_there => Ok(Style::Literal),
            _ => Err(StorageError::Faulty {
                path: to,
                what: "what was moved there is neither there nor elsewhere".to_owned(),
            }),
        }
    }
}
