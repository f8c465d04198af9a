//! Reads a URL of the gateway: which token, which DID. Takes the path as it was sent and decodes it exactly
//! once; `//`, `..` and all else in a name stay what they are. Never looks anything up.

use std::borrow::Cow;

use axum::http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;

use crate::http::problem::Problem;
use crate::model::did::{Did, DidName};
use crate::model::endpoint::EndpointName;
use crate::model::scope::Scope;
use crate::policy::grant::GrantError;
use crate::service::error::ServiceError;

/// The URL of one file.
pub(super) struct FileAddress {
    /// The grant's token; whoever has none asks by a key, or for what is public.
    pub(super) token: Option<String>,
    /// The only endpoint to read from, if the reader names one.
    pub(super) from: Option<EndpointName>,
    /// The file that the path names.
    pub(super) did: Did,
}

/// A URL below a dataset's base, or the base.
pub(super) struct DatasetAddress {
    /// The grant's token.
    pub(super) token: String,
    /// What the rest of the path names.
    pub(super) place: Place,
}

/// What the part of a dataset's URL behind the token names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The base, in a scope.
    Base(Scope),
    /// A file.
    Member(Did),
}

/// Reads `/d/{scope}/{name}` and `/d/{scope}/{name}?grant={token}`.
pub(super) fn file(uri: &Uri) -> Result<FileAddress, Problem> {
    let token = token_in(uri.query().unwrap_or_default())?;
    let rest = uri.path().strip_prefix("/d/").unwrap_or_default();
    let invalid = |error| Problem::from(ServiceError::invalid("invalid-did", error));
    let did = read_did(rest).map_err(invalid)?;
    let from = from_in(uri.query().unwrap_or_default())?;
    if let (Some(_), Some(_)) = (&token, &from) {
        return Err(GrantError::Malformed { why: "the grant says where to read from, not the URL" }.into());
    }
    Ok(FileAddress { token, from, did })
}

/// Reads `/s/{token}/{scope}/{name}`. What cannot be a name is not there, as readers that try their
/// luck expect.
pub(super) fn dataset(uri: &Uri) -> Result<DatasetAddress, Problem> {
    let rest = uri.path().strip_prefix("/s/").unwrap_or_default();
    let (token, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let absent = |error: String| {
        Problem::new(StatusCode::NOT_FOUND, "grant-out-of-scope", error)
            .hint("a dataset's URL ends in `/SCOPE/`; a file's name follows it")
    };
    let place = match rest.split_once('/') {
        Some((scope, "")) => Scope::parse(scope).map(Place::Base).map_err(|error| absent(error.to_string()))?,
        _ => Place::Member(read_did(rest).map_err(absent)?),
    };
    Ok(DatasetAddress { token: token.to_owned(), place })
}

/// The one `grant` of a query. Two would let two readers of the URL see different grants.
fn token_in(query: &str) -> Result<Option<String>, Problem> {
    let mut tokens = query.split('&').filter_map(|pair| pair.strip_prefix("grant="));
    let token = tokens.next().map(str::to_owned);
    match tokens.next() {
        Some(_) => Err(GrantError::Malformed { why: "the URL has more than one `grant`" }.into()),
        None => Ok(token),
    }
}

/// The endpoint that a query names in `from`.
fn from_in(query: &str) -> Result<Option<EndpointName>, Problem> {
    let mut names = query.split('&').filter_map(|pair| pair.strip_prefix("from="));
    let Some(name) = names.next() else { return Ok(None) };
    let read = percent_decode_str(name).decode_utf8().ok().and_then(|name| EndpointName::parse(&name).ok());
    match (read, names.next()) {
        (Some(name), None) => Ok(Some(name)),
        _ => {
            let detail = "`from` names one endpoint; leave it out to read any replica";
            Err(ServiceError::invalid("invalid-endpoint", detail).into())
        }
    }
}

/// The grant that a URL needs if something is to be written by it.
pub(super) fn needed(token: Option<String>) -> Result<String, Problem> {
    token.ok_or_else(|| GrantError::Malformed { why: "the URL has no `grant`" }.into())
}

fn read_did(path: &str) -> Result<Did, String> {
    let (scope, name) = path.split_once('/').ok_or_else(|| "the path is not `SCOPE/NAME`".to_owned())?;
    let scope = Scope::parse(scope).map_err(|error| error.to_string())?;
    let name: Cow<str> = percent_decode_str(name).decode_utf8().map_err(|_| "the name is not UTF-8".to_owned())?;
    let name = DidName::parse(&name).map_err(|error| error.to_string())?;
    Ok(Did { scope, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("a URI")
    }

    #[test]
    fn names_are_decoded_once_and_otherwise_left_alone() {
        for (path, did) in [
            ("s/a.nc", "s:a.nc"),
            ("s//store/a", "s:/store/a"),
            ("s/a/../b//c/", "s:a/../b//c/"),
            ("s/a%20b+c", "s:a b+c"),
            ("s/%2541", "s:%41"),
            ("s/100%", "s:100%"),
            ("s/a%2Fb%3Fc%23d%3A", "s:a/b?c#d:"),
            ("s/%C3%BC", "s:ü"),
        ] {
            let address = file(&uri(&format!("/d/{path}?grant=t"))).unwrap_or_else(|_| panic!("{path}"));
            assert_eq!(address.did.to_string(), did);
            let address = dataset(&uri(&format!("/s/t/{path}"))).unwrap_or_else(|_| panic!("{path}"));
            assert_eq!((&*address.token, address.place), ("t", Place::Member(did.parse().unwrap())));
        }
    }

    #[test]
    fn what_is_no_address_is_a_problem() {
        for (path, code) in [
            ("/d/s/a?grant=t&grant=u", "grant-malformed"),
            ("/d/s/a?grant=t&from=x", "grant-malformed"),
            ("/d/s/a?from=x&from=y", "invalid-endpoint"),
            ("/d/s/a?from=", "invalid-endpoint"),
            ("/d/s?grant=t", "invalid-did"),
            ("/d/s/?grant=t", "invalid-did"),
            ("/d//a?grant=t", "invalid-did"),
            ("/d/%73/a?grant=t", "invalid-did"),
            ("/d/s/%FF?grant=t", "invalid-did"),
            ("/d/s/a%00?grant=t", "invalid-did"),
        ] {
            let problem = file(&uri(path)).err().unwrap_or_else(|| panic!("{path}"));
            assert_eq!(problem.code(), code, "{path}");
        }
        for path in ["/d/s/a", "/d/s/a?Grant=t"] {
            assert_eq!(file(&uri(path)).unwrap_or_else(|_| panic!("{path}")).token, None);
        }
        assert_eq!(needed(None).err().map(|problem| problem.code()), Some("grant-malformed"));
        for path in ["/s/t", "/s/t/", "/s/t/s", "/s/t/%/", "/s/t/s/%FF", "/s/t/s/%0A"] {
            let problem = dataset(&uri(path)).err().unwrap_or_else(|| panic!("{path}"));
            assert_eq!(problem.status(), StatusCode::NOT_FOUND, "{path}");
        }
        let base = dataset(&uri("/s/t/s/?limit=2")).unwrap_or_else(|_| panic!("a base"));
        assert_eq!(base.place, Place::Base(Scope::parse("s").unwrap()));
    }
}
