//! Endpoints: storages that hold replicas.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::id::EndpointId;
use crate::model::probe::Probe;
use crate::model::time::Timestamp;

/// The most bytes an endpoint's name may have.
pub const ENDPOINT_BYTES_MAX: usize = 63;

/// The name of an endpoint. Built only by [`EndpointName::parse`], so it can always stand in an
/// endpoint expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointName(String);

/// The text cannot name an endpoint.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "`{text}` cannot name an endpoint: use letters and digits joined by single `-` or `_`, at most {ENDPOINT_BYTES_MAX}"
)]
pub struct InvalidEndpointName {
    text: String,
}

impl EndpointName {
    /// Accepts letters and digits joined by single `-` or `_`: what Rucio's expression grammar
    /// takes for a name.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpointName> {
        let shape =
            text.split(['-', '_']).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        if shape && text.len() <= ENDPOINT_BYTES_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidEndpointName { text: text.to_owned() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EndpointName {
    type Error = InvalidEndpointName;

    fn try_from(text: String) -> Result<Self, InvalidEndpointName> {
        Self::parse(&text)
    }
}

impl From<EndpointName> for String {
    fn from(name: EndpointName) -> Self {
        name.0
    }
}

/// Which protocol an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// A directory of a file system that this machine has mounted.
    Posix,
    /// Bytes in this process's memory: for tests and simulation.
    Memory,
    /// A bucket, or a prefix in one, of an S3 object store.
    S3,
    /// A collection of a WebDAV server.
    Webdav,
}

impl EndpointKind {
    /// The word in texts, and the value of the implicit attribute `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            EndpointKind::Posix => "posix",
            EndpointKind::Memory => "memory",
            EndpointKind::S3 => "s3",
            EndpointKind::Webdav => "webdav",
        }
    }
}

/// Where an S3 store expects the bucket's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// As the first segment of the path: what most stores but Amazon's want.
    #[default]
    Path,
    /// As the first label of the host's name.
    VirtualHost,
}

/// How a storage is spoken to, beyond where it is. What a kind has no use for stays unset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The region that S3 requests are signed for; `us-east-1` if unset.
    pub region: Option<String>,
    /// Where an S3 store expects the bucket's name.
    pub addressing: Addressing,
    /// Certificates (PEM) of authorities that are trusted for this storage, besides the system's.
    pub ca: Option<String>,
    /// Whether readers may be sent to the store itself by a URL that it signs.
    pub redirect: bool,
}

/// A storage's secret, sealed: only a keyring that has the instance key opens it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret(Vec<u8>);

impl SealedSecret {
    /// Bytes as a keyring sealed them.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for a keyring to open.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSecret")
    }
}

/// Attributes an endpoint has without anybody setting them; nobody may.
pub const IMPLICIT_ATTRIBUTES: [&str; 2] = ["name", "kind"];

/// A storage that holds replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number.
    pub id: EndpointId,
    /// Its name, which never changes.
    pub name: EndpointName,
    /// How it is spoken to.
    pub kind: EndpointKind,
    /// Where it is: for posix, the absolute path of its root; for s3, `URL/BUCKET` or
    /// `URL/BUCKET/PREFIX`; for webdav, the URL of its root collection.
    pub location: String,
    /// How it is spoken to.
    pub settings: Settings,
    /// What lets dapple in, where the storage asks for it.
    pub secret: Option<SealedSecret>,
    /// What it was last seen to do.
    pub probe: Option<Probe>,
    /// What a person said of it, for expressions and policies.
    pub attributes: BTreeMap<String, String>,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Endpoint {
    /// The value of an attribute, implicit ones included.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        match key {
            "name" => Some(self.name.as_str()),
            "kind" => Some(self.kind.name()),
            _ => self.attributes.get(key).map(String::as_str),
        }
    }
}

/// The text cannot be an attribute.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidAttribute {
    /// There is no `=`, or nothing on one side of it.
    #[error("`{text}` is not an attribute: write `key=value`")]
    NoPair {
        /// What was given.
        text: String,
    },
    /// An expression could not name the key or the value.
    #[error(
        "attribute `{text}` could not be matched by an expression: keys take letters, digits, `.`, `_`, `-`; values letters, digits, `_`, `-`"
    )]
    Unmatchable {
        /// What was given.
        text: String,
    },
    /// The attribute is implicit.
    #[error("every endpoint has the attribute `{key}` by itself; it cannot be set")]
    Implicit {
        /// Its key.
        key: String,
    },
}

/// Reads `key=value`, accepting only what an endpoint expression can match.
pub fn parse_attribute(text: &str) -> Result<(String, String), InvalidAttribute> {
    let (key, value) = text
        .split_once('=')
        .filter(|(k, v)| !k.is_empty() && !v.is_empty())
        .ok_or_else(|| InvalidAttribute::NoPair { text: text.to_owned() })?;
    let key_fits = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let value_fits = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !key_fits || !value_fits {
        return Err(InvalidAttribute::Unmatchable { text: text.to_owned() });
    }
    if IMPLICIT_ATTRIBUTES.contains(&key) {
        return Err(InvalidAttribute::Implicit { key: key.to_owned() });
    }
    Ok((key.to_owned(), value.to_owned()))
}
