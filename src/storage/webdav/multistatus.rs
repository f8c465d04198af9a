//! Reads the answers to PROPFIND, event by event and within limits.
//!
//! Names are taken by their local part: servers differ in prefixes, not in meaning. Document types
//! and entities of their own are refused, so that no answer grows while it is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};
use reqwest::Response;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::storage::backend::StorageError;
use crate::storage::webdav::server::faulty;

const ANSWER_BYTES_MAX: u64 = 64 << 20;
const TEXT_BYTES_MAX: usize = 64 << 10;
const DEPTH_MAX: usize = 32;

/// What is asked for.
pub(super) const QUESTION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\"><D:prop>\
    <D:resourcetype/><D:getcontentlength/></D:prop></D:propfind>";

/// The same for a collection and the room in it.
pub(super) const ROOM_QUESTION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\"><D:prop>\
    <D:quota-available-bytes/><D:quota-used-bytes/></D:prop></D:propfind>";

/// What was said of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) href: String,
    pub(super) status: Option<u16>,
    pub(super) facts: Facts,
}

/// Properties that the server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) is_collection: bool,
    pub(super) length: Option<u64>,
    pub(super) available_bytes: Option<u64>,
    pub(super) used_bytes: Option<u64>,
}

/// Reads a multistatus answer, resource by resource.
pub(super) async fn read(
    about: &str,
    response: Response,
    mut each: impl FnMut(Said) -> Result<(), StorageError> + Send,
) -> Result<(), StorageError> {
    let stream = response.bytes_stream().map_err(|error| io::Error::other(error.without_url())).boxed();
    parse(about, Source { stream, chunk: Bytes::new(), taken: 0 }, &mut each).await
}

async fn parse(
    about: &str,
    source: Source,
    each: &mut (impl FnMut(Said) -> Result<(), StorageError> + Send),
) -> Result<(), StorageError> {
    let mut reader = Reader::from_reader(source);
    let (mut buffer, mut walk) = (Vec::new(), Walk::default());
    loop {
        buffer.clear();
        let event = reader.read_event_into_async(&mut buffer).await;
        let event = event.map_err(|error| told(about, &error))?;
        if matches!(event, Event::Eof) {
            break;
        }
        let said = walk.take(event).map_err(|what| faulty(about, format!("its XML makes no sense: {what}")))?;
        if let Some(said) = said {
            each(said)?;
        }
    }
    if walk.is_multistatus && walk.open.is_empty() {
        Ok(())
    } else {
        Err(faulty(about, "its answer is no whole multistatus".to_owned()))
    }
}

/// A connection that broke is another thing than an answer without sense.
fn told(about: &str, error: &quick_xml::Error) -> StorageError {
    match error {
        quick_xml::Error::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            faulty(about, format!("its answer has more than {ANSWER_BYTES_MAX} bytes"))
        }
        quick_xml::Error::Io(error) => {
            let what = match error.get_ref() {
                Some(inner) => crate::net::told(inner),
                None => error.to_string(),
            };
            StorageError::Unavailable { path: about.to_owned(), what }
        }
        error => faulty(about, format!("its XML makes no sense: {error}")),
    }
}

/// Where the reading stands.
#[derive(Default)]
struct Walk {
    open: Vec<Vec<u8>>,
    text: String,
    said: Said,
    /// Of the propstat being read; they hold if its status does.
    pending: Facts,
    pending_status: Option<u16>,
    is_multistatus: bool,
}

impl Walk {
    fn take(&mut self, event: Event<'_>) -> Result<Option<Said>, String> {
        match event {
            Event::Start(start) => self.enter(start.local_name().as_ref())?,
            Event::Empty(start) => {
                self.enter(start.local_name().as_ref())?;
                return self.leave();
            }
            Event::End(_) => return self.leave(),
            Event::Text(text) => self.add(&text.decode().map_err(|error| error.to_string())?)?,
            Event::CData(text) => self.add(&text.decode().map_err(|error| error.to_string())?)?,
            Event::GeneralRef(reference) => self.add(&resolve(&reference)?)?,
            Event::DocType(_) => return Err("it has a document type".to_owned()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::Eof => {}
        }
        Ok(None)
    }

    fn enter(&mut self, name: &[u8]) -> Result<(), String> {
        if self.open.is_empty() {
            if name != b"multistatus" || self.is_multistatus {
                return Err(format!("it begins with `{}`", String::from_utf8_lossy(name)));
            }
            self.is_multistatus = true;
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("it is more than {DEPTH_MAX} levels deep"));
        }
        match name {
            b"response" => self.said = Said::default(),
            b"propstat" => {
                self.pending = Facts::default();
                self.pending_status = None;
            }
            b"collection" if self.is_in(b"resourcetype") => self.pending.is_collection = true,
            _ => {}
        }
        self.text.clear();
        self.open.push(name.to_vec());
        Ok(())
    }

    fn leave(&mut self) -> Result<Option<Said>, String> {
        let name = self.open.pop().ok_or("it ends what never began")?;
        let text = std::mem::take(&mut self.text);
        match &name[..] {
            b"href" if self.is_in(b"response") => {
                text.trim_matches(['\n', '\r', '\t']).clone_into(&mut self.said.href);
            }
            b"status" if self.is_in(b"response") => self.said.status = status(&text),
            b"status" if self.is_in(b"propstat") => self.pending_status = status(&text),
            b"getcontentlength" => self.pending.length = text.trim().parse().ok(),
            b"quota-available-bytes" => self.pending.available_bytes = text.trim().parse().ok(),
            b"quota-used-bytes" => self.pending.used_bytes = text.trim().parse().ok(),
            b"propstat" if self.pending_status.is_none_or(|status| (200..300).contains(&status)) => self.merge(),
            b"response" => return Ok(Some(std::mem::take(&mut self.said))),
            _ => {}
        }
        Ok(None)
    }

    fn merge(&mut self) {
        let (facts, pending) = (&mut self.said.facts, std::mem::take(&mut self.pending));
        facts.is_collection |= pending.is_collection;
        facts.length = facts.length.or(pending.length);
        facts.available_bytes = facts.available_bytes.or(pending.available_bytes);
        facts.used_bytes = facts.used_bytes.or(pending.used_bytes);
    }

    fn is_in(&self, name: &[u8]) -> bool {
        self.open.last().is_some_and(|open| open == name)
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        if self.text.len() + text.len() > TEXT_BYTES_MAX {
            return Err(format!("a text has more than {TEXT_BYTES_MAX} bytes"));
        }
        self.text.push_str(text);
        Ok(())
    }
}

fn status(text: &str) -> Option<u16> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|error| error.to_string())?;
    Ok(match &*name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => return Err(format!("it has an entity `{name}` of its own")),
    }
    .to_owned())
}

/// An answer's body for the XML reader, which counts it.
struct Source {
    stream: BoxStream<'static, io::Result<Bytes>>,
    chunk: Bytes,
    taken: u64,
}

impl AsyncBufRead for Source {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.chunk.is_empty() {
            let Some(chunk) = ready!(this.stream.poll_next_unpin(context)) else { break };
            this.chunk = chunk?;
            this.taken += this.chunk.len() as u64;
            if this.taken > ANSWER_BYTES_MAX {
                return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
            }
        }
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        drop(self.get_mut().chunk.split_to(amount));
    }
}

impl AsyncRead for Source {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let available = ready!(self.as_mut().poll_fill_buf(context))?;
        let length = available.len().min(into.remaining());
        into.put_slice(&available[..length]);
        self.consume(length);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
