//! Endpoints on the wire. A secret goes in and never comes out: no shape that answers has a place
//! for one.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::model::endpoint::{Addressing, EndpointKind, EndpointName};
use crate::model::probe::{Finding, Probe};
use crate::model::time::Timestamp;
use crate::service::view::AuditView;

/// An endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EndpointView {
    /// Its name.
    pub name: EndpointName,
    /// The protocol it speaks.
    pub kind: EndpointKind,
    /// How it is doing, as the server has lately seen it.
    #[serde(default)]
    pub state: EndpointState,
    /// Where it is.
    pub location: String,
    /// How it is spoken to.
    #[serde(default)]
    pub settings: SettingsView,
    /// Whether dapple has a secret for it.
    #[serde(default)]
    pub has_secret: bool,
    /// Attributes that people set; `name` and `kind` go without saying.
    pub attributes: BTreeMap<String, String>,
    /// Replicas there, for those who may administer the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes that can still be written, where the store can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// What it was last seen to do; absent if it was never tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeView>,
    /// What a person should know of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Restores of the lake that found it there, and who has accepted what is there since, for those who
    /// may administer the endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<AuditView>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// How an endpoint is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Nothing is known to ail it.
    #[default]
    Well,
    /// It failed when it was last asked for something.
    Ailing,
    /// It failed again and again, and is left alone for a while.
    Resting,
}

/// How an endpoint is spoken to. What its kind has no use for is absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SettingsView {
    /// The region that requests are signed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where the store expects the bucket's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addressing: Option<Addressing>,
    /// Whether certificates of authorities are trusted for it besides the system's.
    #[serde(default)]
    pub ca: bool,
    /// Whether readers may be sent to the store itself.
    #[serde(default)]
    pub redirect: bool,
}

/// What an endpoint was last seen to do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProbeView {
    /// When it was tried.
    pub at: Timestamp,
    /// What came of it.
    pub findings: Vec<FindingOfProbe>,
}

/// One thing that was tried.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FindingOfProbe {
    /// What, as `docs/endpoints.md` calls it.
    pub feature: String,
    /// Whether the store did it.
    pub holds: bool,
    /// What was seen, where that says more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen: String,
    /// What dapple does without; absent where the store did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consequence: Option<String>,
}

impl From<&Probe> for ProbeView {
    fn from(probe: &Probe) -> Self {
        Self { at: probe.at, findings: probe.findings.iter().map(FindingOfProbe::from).collect() }
    }
}

impl From<&Finding> for FindingOfProbe {
    fn from(finding: &Finding) -> Self {
        Self {
            feature: finding.feature.code().to_owned(),
            holds: finding.holds,
            seen: finding.seen.clone(),
            consequence: (!finding.holds).then(|| finding.feature.without().to_owned()),
        }
    }
}

/// An endpoint to add.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// Its name.
    pub name: EndpointName,
    /// The protocol it speaks.
    pub kind: EndpointKind,
    /// For posix, the absolute path of its root on the server's machine; for s3, `URL/BUCKET` or
    /// `URL/BUCKET/PREFIX`; for webdav, the URL of its root collection.
    pub location: String,
    /// How it is spoken to.
    #[serde(default)]
    pub settings: NewSettings,
    /// What lets dapple in; never shown again.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
    /// Attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Make the root if it is missing: a directory, a bucket, a collection.
    #[serde(default)]
    pub create: bool,
    /// Add it without trying it, as a store that is down now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_probe: bool,
}

/// How a new endpoint is spoken to.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSettings {
    /// For s3, the region that requests are signed for; `us-east-1` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// For s3, where the store expects the bucket's name; `path` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addressing: Option<Addressing>,
    /// Certificates (PEM) of authorities that are trusted for it besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// For s3, whether readers may be sent to the store itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redirect: bool,
}

/// A change of an endpoint. What is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointChange {
    /// Attributes to set; a null removes one.
    #[serde(default)]
    pub attributes: BTreeMap<String, Option<String>>,
    /// Settings to change.
    #[serde(default)]
    pub settings: SettingsChange,
    /// A new secret; a null removes the old one.
    #[schema(value_type = Option<String>)]
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub secret: Option<Option<SecretText>>,
    /// Store changed settings or a changed secret without trying them, as for a store that is down.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_probe: bool,
}

/// Settings to change. What is absent stays as it is; a null puts back what goes without saying.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsChange {
    /// For s3, the region that requests are signed for.
    #[schema(value_type = Option<String>)]
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub region: Option<Option<String>>,
    /// For s3, where the store expects the bucket's name.
    #[schema(value_type = Option<Addressing>)]
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub addressing: Option<Option<Addressing>>,
    /// Certificates (PEM) of authorities that are trusted for it besides the system's.
    #[schema(value_type = Option<String>)]
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub ca: Option<Option<String>>,
    /// For s3, whether readers may be sent to the store itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<bool>,
}

/// A secret on its way to the server. Not shown by `Debug`, and no error repeats it.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// A secret as somebody wrote it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for whoever seals it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The usual error would say what stands there instead of a text: the secret, perhaps.
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(text)) => Ok(Self(text)),
            _ => Err(D::Error::custom("the secret has to be a text")),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Tells a null from what is absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_neither_shown_nor_repeated_by_errors() {
        let new = r#"{"name": "x", "kind": "s3", "location": "https://h/abc", "secret": "key:hunter2"}"#;
        let new: NewEndpoint = serde_json::from_str(new).expect("good");
        assert!(!format!("{new:?}").contains("hunter2"));
        assert_eq!(new.secret.map(|secret| secret.reveal().to_owned()).as_deref(), Some("key:hunter2"));
        for wrong in [r#"["hunter2"]"#, r#"{"hunter2": 1}"#, r#"{"key": "hunter2"}"#] {
            let error = serde_json::from_str::<EndpointChange>(&format!(r#"{{"secret": {wrong}}}"#));
            let error = error.expect_err(wrong).to_string();
            assert!(error.starts_with("the secret has to be a text"), "{error}");
        }
    }

    #[test]
    fn a_null_is_not_the_same_as_nothing() {
        let read = |text: &str| serde_json::from_str::<EndpointChange>(text).expect("good");
        assert_eq!(read("{}").secret, None);
        assert_eq!(read(r#"{"secret": null}"#).secret, Some(None));
        let change = read(r#"{"settings": {"ca": null, "region": "eu", "addressing": null}}"#);
        let expected = SettingsChange {
            region: Some(Some("eu".to_owned())),
            addressing: Some(None),
            ca: Some(None),
            redirect: None,
        };
        assert_eq!(change.settings, expected);
        let sent = serde_json::to_value(&change).expect("plain");
        assert_eq!(sent["settings"], serde_json::json!({"region": "eu", "addressing": null, "ca": null}));
        assert!(sent.get("secret").is_none());
    }
}
