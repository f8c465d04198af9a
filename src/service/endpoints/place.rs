//! Where an endpoint may be: reads its location by its kind, gives it one spelling, and refuses
//! what another endpoint, or the lake itself, has already. Changes nothing.

use std::path::{Path, PathBuf};

use crate::model::endpoint::{Endpoint, EndpointKind};
use crate::model::location::{InvalidLocation, S3Location, WebdavLocation};
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::view::NewEndpoint;

/// The location in the one spelling that is stored.
pub(super) fn spelt(kind: EndpointKind, location: &str) -> Result<String, ServiceError> {
    match kind {
        EndpointKind::Posix if !Path::new(location).is_absolute() => {
            Err(ServiceError::invalid("invalid-location", "a posix endpoint needs an absolute path"))
        }
        EndpointKind::Posix | EndpointKind::Memory => Ok(location.to_owned()),
        EndpointKind::S3 => Ok(S3Location::parse(location).map_err(|error| refused(kind, &error))?.to_string()),
        EndpointKind::Webdav => Ok(WebdavLocation::parse(location).map_err(|error| refused(kind, &error))?.to_string()),
    }
}

fn refused(kind: EndpointKind, error: &InvalidLocation) -> ServiceError {
    let example = match kind {
        EndpointKind::S3 => "an s3 location is such as `https://s3.example.org/BUCKET/PREFIX`",
        _ => "a webdav location is such as `https://dav.example.org/data`",
    };
    ServiceError::Invalid { code: "invalid-location", detail: error.to_string(), hint: Some(example.to_owned()) }
}

/// Two endpoints on one tree would count one copy twice, and one on the lake's own directory would
/// hand out its keys.
pub(super) fn refuse_clash(ctx: &Context, new: &NewEndpoint, known: &[Endpoint]) -> Result<(), ServiceError> {
    if known.iter().any(|endpoint| endpoint.name == new.name) {
        return Err(ServiceError::Exists { what: "endpoint", name: new.name.to_string() });
    }
    let others = known.iter().filter(|endpoint| endpoint.kind == new.kind);
    let clash = match new.kind {
        EndpointKind::Memory => None,
        EndpointKind::Posix => {
            let others = others.map(|other| (format!("the endpoint {}", other.name), PathBuf::from(&other.location)));
            let own = ctx.lake.directory.iter().map(|own| ("the lake's own directory".to_owned(), own.clone()));
            let location = real(Path::new(&new.location));
            let mut taken = others.chain(own);
            taken.find(|(_, other)| overlap(&location, other)).map(|(what, other)| (what, other.display().to_string()))
        }
        EndpointKind::S3 | EndpointKind::Webdav => {
            let mut others = others.filter(|other| is_one_place(new.kind, &new.location, &other.location));
            others.next().map(|other| (format!("the endpoint {}", other.name), other.location.clone()))
        }
    };
    let Some((what, other)) = clash else { return Ok(()) };
    Err(ServiceError::Conflict {
        code: "endpoint-overlaps",
        detail: format!("`{}` and {what} at `{other}` overlap", new.location),
        hint: Some("give each endpoint a tree of its own, or one copy would count as two".to_owned()),
    })
}

/// Tells whether one remote place lies within the other. What cannot be read is no place.
fn is_one_place(kind: EndpointKind, one: &str, other: &str) -> bool {
    match kind {
        EndpointKind::S3 => match (S3Location::parse(one), S3Location::parse(other)) {
            (Ok(one), Ok(other)) => one.overlaps(&other),
            _ => false,
        },
        _ => match (WebdavLocation::parse(one), WebdavLocation::parse(other)) {
            (Ok(one), Ok(other)) => one.overlaps(&other),
            _ => false,
        },
    }
}

fn overlap(location: &Path, other: &Path) -> bool {
    let place = real(other);
    location.starts_with(&place) || place.starts_with(location) || same_file(location, &place)
}

/// A path with its links followed, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match known {
        Some((above, real)) => real.join(path.strip_prefix(above).unwrap_or(Path::new(""))),
        None => path.to_owned(),
    }
}

/// Tells whether two paths lead to one directory, as bind mounts make them.
fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    id(one).is_some_and(|one| id(other) == Some(one))
}
