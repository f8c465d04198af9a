//! How an endpoint is spoken to: checks settings and secrets against its kind, and seals secrets.
//! No error here repeats a secret.

use crate::model::endpoint::{Addressing, Endpoint, EndpointKind, Settings};
use crate::model::location::{S3Location, WebdavLocation};
use crate::net::{self, Trust};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::view::{NewSettings, SecretText, SettingsChange, SettingsView};
use crate::storage::backend::StorageError;
use crate::storage::secret::Secret;

/// The most bytes of certificates of authorities: the catalog keeps them with the endpoint.
const CA_BYTES_MAX: usize = 24 << 10;
/// The most bytes of a region's name.
const REGION_BYTES_MAX: usize = 64;

/// Settings as somebody wishes them for a new endpoint.
pub(super) fn wished(new: &NewSettings) -> Settings {
    Settings {
        region: new.region.clone(),
        addressing: new.addressing.unwrap_or_default(),
        ca: new.ca.clone(),
        redirect: new.redirect,
    }
}

/// Settings after a change.
pub(super) fn changed(old: &Settings, change: &SettingsChange) -> Settings {
    let or_old = |change: &Option<Option<String>>, old: &Option<String>| change.as_ref().unwrap_or(old).clone();
    Settings {
        region: or_old(&change.region, &old.region),
        addressing: change.addressing.map_or(old.addressing, Option::unwrap_or_default),
        ca: or_old(&change.ca, &old.ca),
        redirect: change.redirect.unwrap_or(old.redirect),
    }
}

/// Settings as they are shown.
pub(super) fn shown(endpoint: &Endpoint) -> SettingsView {
    let settings = &endpoint.settings;
    SettingsView {
        region: settings.region.clone(),
        addressing: (endpoint.kind == EndpointKind::S3).then_some(settings.addressing),
        ca: settings.ca.is_some(),
        redirect: settings.redirect,
    }
}

/// Refuses settings that the endpoint's kind or location has no use for, or that cannot work.
pub(super) fn check_settings(endpoint: &Endpoint) -> Result<(), ServiceError> {
    let (kind, settings) = (endpoint.kind, &endpoint.settings);
    let refuse = |detail: String| Err(ServiceError::invalid("invalid-settings", detail));
    if kind != EndpointKind::S3 {
        let useless = [
            ("a region", settings.region.is_some()),
            ("an addressing", settings.addressing != Addressing::default()),
            ("redirects to the store", settings.redirect),
        ];
        if let Some((what, _)) = useless.iter().find(|(_, given)| *given) {
            return refuse(format!("{what} is only for s3 endpoints: leave it out for a {} one", kind.name()));
        }
    }
    if let Some(region) = &settings.region {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if region.is_empty() || region.len() > REGION_BYTES_MAX || !region.bytes().all(fits) {
            return refuse("a region has letters, digits, `-` and `_`, such as `eu-central-1`".to_owned());
        }
    }
    if settings.addressing == Addressing::VirtualHost {
        let host = S3Location::parse(&endpoint.location).and_then(|location| location.virtual_host());
        host.map_err(|error| ServiceError::invalid("invalid-settings", error))?;
    }
    match &settings.ca {
        Some(ca) => check_ca(endpoint, ca),
        None => Ok(()),
    }
}

fn check_ca(endpoint: &Endpoint, ca: &str) -> Result<(), ServiceError> {
    if way(endpoint) != Way::Encrypted {
        let detail = "certificates of authorities are only for s3 and webdav endpoints at an `https://` URL";
        return Err(ServiceError::invalid("invalid-settings", detail));
    }
    if ca.len() > CA_BYTES_MAX {
        let detail = format!("certificates of authorities may have {CA_BYTES_MAX} bytes");
        return Err(ServiceError::Invalid {
            code: "invalid-settings",
            detail,
            hint: Some("give the certificate of the store's own authority, not a whole bundle".to_owned()),
        });
    }
    let trust = Trust { ca: Some(ca.to_owned()), identity: None };
    net::client(&trust).map(drop).map_err(|error| ServiceError::Invalid {
        code: "invalid-settings",
        detail: error.to_string(),
        hint: Some("give PEM: `-----BEGIN CERTIFICATE-----` and what follows".to_owned()),
    })
}

/// Seals a secret for an endpoint, if it is one that its kind can use.
pub(super) fn seal(ctx: &Context, endpoint: &mut Endpoint, text: &SecretText) -> Result<(), ServiceError> {
    let refuse = |detail: &str| Err(ServiceError::invalid("invalid-secret", detail));
    if !matches!(endpoint.kind, EndpointKind::S3 | EndpointKind::Webdav) {
        let detail = format!("a {} endpoint takes no secret: leave it out", endpoint.kind.name());
        return refuse(&detail);
    }
    let secret = Secret::parse(text.reveal()).map_err(|error| ServiceError::invalid("invalid-secret", error))?;
    match &secret {
        Secret::Certificate(_) | Secret::Token(_) if endpoint.kind == EndpointKind::S3 => {
            return refuse("an s3 endpoint takes an access key and its secret: write `ACCESS_KEY:SECRET_KEY`");
        }
        Secret::Pair { name, word } if endpoint.kind == EndpointKind::S3 && (name.is_empty() || word.is_empty()) => {
            return refuse("an s3 endpoint needs both an access key and its secret: write `ACCESS_KEY:SECRET_KEY`");
        }
        Secret::Certificate(_) if way(endpoint) != Way::Encrypted => {
            return refuse("a client certificate is only shown over `https://`: use such a URL, or another secret");
        }
        Secret::Certificate(pem) => {
            let trust = Trust { ca: None, identity: Some(pem.clone()) };
            net::client(&trust).map_err(|error| ServiceError::invalid("invalid-secret", error))?;
        }
        Secret::Pair { .. } | Secret::Token(_) => {}
    }
    let no_key = || StorageError::Locked { why: "this process has no instance key".to_owned() };
    let keyring = ctx.lake.stores.keyring().ok_or_else(no_key)?;
    endpoint.secret = Some(keyring.seal(&endpoint.name, &secret, ctx.catalog().clock().as_ref()));
    Ok(())
}

/// What a person should know of an endpoint.
pub(super) fn notes(ctx: &Context, endpoint: &Endpoint) -> Vec<String> {
    let mut notes = Vec::new();
    if ctx.is_dry_run() {
        notes.push("it was not tried, as this is a dry run".to_owned());
    }
    if let Err(error) = ctx.lake.stores.unlock(endpoint) {
        notes.push(error.to_string());
    }
    if endpoint.secret.is_some() && way(endpoint) == Way::Open {
        notes.push("its URL is `http://`: whoever is on the way there can use its secret or change bytes".to_owned());
    }
    if let Some(ailment) = ctx.lake.stores.health().ailment(endpoint.id) {
        let (times, since) = (ailment.failures, ailment.since);
        let failed = format!("it has failed {times} times in a row since {since}");
        // What it said may name any file that was to be read or written there.
        notes.push(match ctx.permit_endpoint(Action::Administer, endpoint) {
            Ok(_) => format!("{failed}, and said last: {}", ailment.said),
            Err(_) => failed,
        });
    }
    notes
}

/// How bytes get to an endpoint.
#[derive(PartialEq, Eq)]
enum Way {
    /// They stay on this machine.
    Near,
    /// Nobody on the way can read them.
    Encrypted,
    /// Anybody on the way can read them.
    Open,
}

fn way(endpoint: &Endpoint) -> Way {
    let (encrypted, loopback) = match endpoint.kind {
        EndpointKind::Posix | EndpointKind::Memory => return Way::Near,
        EndpointKind::S3 => match S3Location::parse(&endpoint.location) {
            Ok(location) => (location.is_encrypted(), location.is_loopback()),
            Err(_) => return Way::Open,
        },
        EndpointKind::Webdav => match WebdavLocation::parse(&endpoint.location) {
            Ok(location) => (location.is_encrypted(), location.is_loopback()),
            Err(_) => return Way::Open,
        },
    };
    match (encrypted, loopback) {
        (true, _) => Way::Encrypted,
        (false, true) => Way::Near,
        (false, false) => Way::Open,
    }
}
