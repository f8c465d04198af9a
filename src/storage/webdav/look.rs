//! Looks at what lies under a name.
//!
//! PROPFIND alone tells an object from a collection on every server: to a HEAD of a collection
//! XRootD answers as if it were an object of 4,096 bytes. A HEAD is quicker, and used only where
//! an object was just written.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::{Response, StatusCode};

use crate::model::checksum::{Algorithm, Checksum};
use crate::storage::backend::{ObjectInfo, StorageError};
use crate::storage::webdav::address::Style;
use crate::storage::webdav::multistatus::{self, Facts};
use crate::storage::webdav::server::{
    Ask, Payload, SHORT_SPAN_MAX, Server, Verb, faulty, refusal, sends_to_collection, stated_length,
};

/// How quickly a store computes a digest that it has not kept, at the worst.
const DIGEST_BYTES_PER_SECOND: u64 = 200_000_000;

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Collection,
    Object(u64),
}

impl Server {
    /// Looks at a name; the empty one is the root.
    pub(super) async fn look(&self, path: &str) -> Result<Seen, StorageError> {
        Ok(match self.facts(path, multistatus::QUESTION).await? {
            None => Seen::Nothing,
            Some(facts) if facts.is_collection => Seen::Collection,
            Some(Facts { length: Some(bytes), .. }) => Seen::Object(bytes),
            Some(_) => return Err(faulty(path, "it does not say how long it is".to_owned())),
        })
    }

    /// Asks for properties of one resource.
    pub(super) async fn facts(&self, path: &str, question: &'static str) -> Result<Option<Facts>, StorageError> {
        let url = if path.is_empty() { self.address.collection("") } else { self.address.object(path) };
        let mut response = self.ask(propfind(url, path, "0", question)).await?;
        if sends_to_collection(&response) {
            response = self.ask(propfind(self.address.collection(path), path, "0", question)).await?;
        }
        match response.status().as_u16() {
            207 => {}
            404 | 410 => return Ok(None),
            _ => return Err(refusal(path, response.status())),
        }
        let mut all = Vec::new();
        multistatus::read(path, response, |said| {
            all.push(said);
            if all.len() > 1 {
                Err(faulty(path, "it told of several where one was asked for".to_owned()))
            } else {
                Ok(())
            }
        })
        .await?;
        let said = all.pop().ok_or_else(|| faulty(path, "it told of nothing".to_owned()))?;
        let meant = [Style::Encoded, Style::Literal].map(|style| self.address.below(&said.href, style));
        if !meant.iter().flatten().any(|below| below == path) {
            // XRootD takes what follows a `?` for a query even if it is encoded.
            let why = "the server takes the name for another one".to_owned();
            return Err(StorageError::Outside { path: path.to_owned(), why });
        }
        match said.status {
            Some(404 | 410) => Ok(None),
            Some(status) if !(200..300).contains(&status) => Err(faulty(path, format!("it told of a status {status}"))),
            _ => Ok(Some(said.facts)),
        }
    }

    /// The length of what was written under a name; `None` if nothing is there.
    pub(super) async fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let response = self.ask(Ask::new(Verb::Head, self.address.object(path), path)).await?;
        match (response.status().as_u16(), stated_length(&response)) {
            (200, Some(bytes)) => Ok(Some(bytes)),
            (404 | 410, _) => Ok(None),
            // Apache does not state a length of 0 in answers without a body.
            (200, None) => match self.look(path).await? {
                Seen::Object(bytes) => Ok(Some(bytes)),
                Seen::Nothing | Seen::Collection => Ok(None),
            },
            _ => Err(refusal(path, response.status())),
        }
    }

    /// What is known of an object, with a digest if the store has one to give: without one it is an
    /// object all the same.
    pub(super) async fn info(
        &self,
        path: &str,
        bytes: u64,
        algorithm: Option<Algorithm>,
    ) -> Result<ObjectInfo, StorageError> {
        let Some(algorithm) = algorithm else { return Ok(ObjectInfo { bytes, checksums: Vec::new() }) };
        let response = match self.ask_digest(path, bytes, algorithm).await {
            Ok(response) if response.status() == StatusCode::OK => response,
            Ok(_) | Err(_) => return Ok(ObjectInfo { bytes, checksums: Vec::new() }),
        };
        match stated_length(&response) {
            Some(stated) if stated != bytes => Err(faulty(path, format!("it has {bytes} bytes, and then {stated}"))),
            _ => Ok(ObjectInfo { bytes, checksums: digests(&response) }),
        }
    }

    /// Asks for a digest of an object, which the store may have to compute first.
    pub(super) async fn ask_digest(
        &self,
        path: &str,
        bytes: u64,
        algorithm: Algorithm,
    ) -> Result<Response, StorageError> {
        let mut ask = Ask::new(Verb::Head, self.address.object(path), path).header("want-digest", algorithm.name());
        ask.span = Some(SHORT_SPAN_MAX + Duration::from_secs(bytes / DIGEST_BYTES_PER_SECOND));
        self.ask(ask).await
    }
}

/// A PROPFIND.
pub(super) fn propfind<'a>(url: reqwest::Url, about: &'a str, depth: &str, question: &'static str) -> Ask<'a> {
    let mut ask = Ask::new(Verb::Propfind, url, about).header("depth", depth);
    ask = ask.header("content-type", "application/xml; charset=utf-8");
    ask.payload = Payload::Held(Bytes::from_static(question.as_bytes()));
    ask
}

/// What the Digest headers of an answer say. A server that does not know an algorithm may answer
/// with another one, so each is taken for what it is called.
pub(super) fn digests(response: &Response) -> Vec<Checksum> {
    let values = response.headers().get_all("digest").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(read_digest).collect()
}

fn read_digest(text: &str) -> Option<Checksum> {
    let (name, value) = text.trim().split_once('=')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let (algorithm, length) = match name.as_str() {
        "adler32" => (Algorithm::Adler32, 4),
        "crc32c" => (Algorithm::Crc32c, 4),
        "md5" => (Algorithm::Md5, 16),
        "sha-256" | "sha256" => (Algorithm::Sha256, 32),
        _ => return None,
    };
    // Hexadecimal as XRootD writes Adler-32, or base64 as the standard has it. Adler-32 may lack
    // its leading zeros.
    let is_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && (value.len() == 2 * length || (algorithm == Algorithm::Adler32 && value.len() < 8)) {
        return format!("{}:{value}", algorithm.name()).parse().ok();
    }
    Checksum::new(algorithm, STANDARD.decode(value).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_whatever_their_dress() {
        let table = [
            ("adler32=1a0b045d", Some("adler32:1a0b045d")),
            (" Adler32 = a7090", Some("adler32:000a7090")),
            ("ADLER32=GgsEXQ==", Some("adler32:1a0b045d")),
            ("crc32c=yZRlqg==", Some("crc32c:c99465aa")),
            ("md5=XrY7u+Ae7tCTyyK7j1rNww==", Some("md5:5eb63bbbe01eeed093cb22bb8f5acdc3")),
            ("md5=5eb63bbbe01eeed093cb22bb8f5acdc3", Some("md5:5eb63bbbe01eeed093cb22bb8f5acdc3")),
            ("crc32=43b1a1a0", None),
            ("md5=", None),
            ("adler32=zz", None),
            ("nothing", None),
        ];
        for (text, expected) in table {
            assert_eq!(read_digest(text).map(|checksum| checksum.to_string()).as_deref(), expected, "{text}");
        }
    }
}
