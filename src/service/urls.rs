//! Signed URLs: mint them, and open them for the gateway.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::catalog::record::{DidNames, Dids, Heads, Parents};
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind};
use crate::model::id::{DidId, GrantId};
use crate::policy::decision::Action;
use crate::policy::grant::{Grant, GrantError, Method, Methods, Target};
use crate::replicas::locate::{Located, locate};
use crate::service::dids::{contents_page, require};
use crate::service::error::ServiceError;
use crate::service::paging::Paging;
use crate::service::view::{ContentView, NewUrl, Page, UrlView};
use crate::service::{Context, Lake};

/// The longest that a URL may be good for.
pub const EXPIRY_MAX: Duration = Duration::from_hours(7 * 24);

/// What may stand in a path segment as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Mints a signed URL that reads a file, or the files of a dataset.
pub async fn mint(ctx: &Context, new: NewUrl) -> Result<UrlView, ServiceError> {
    let permit = ctx.permit(Action::Read, &new.did)?;
    let span = Duration::from_secs(new.expires_seconds);
    if span.is_zero() || span > EXPIRY_MAX {
        return Err(ServiceError::invalid("invalid-expiry", "a URL is good for between one second and 7 days"));
    }
    let did = new.did.clone();
    let (id, kind, up_to_seq, decision) = ctx
        .catalog()
        .transact(move |txn| {
            let (did, permit) = (did.clone(), permit.clone());
            async move {
                let (id, record) = require(&txn, &did).await?;
                let head = txn.get::<Heads>(&(id,)).await?;
                Ok::<_, ServiceError>((id, record.kind(), head.map(|head| head.next_seq), permit.record(&txn)))
            }
        })
        .await?;
    let did = new.did;
    let target = match kind {
        DidKind::File => Target::Object { did: did.clone(), id },
        DidKind::Dataset => Target::Dataset { did: did.clone(), id, up_to_seq },
        DidKind::Container => {
            let detail = format!("`{did}` is a container; ask for a URL of one of its datasets");
            return Err(ServiceError::invalid("invalid-kind", detail));
        }
    };
    let now = ctx.catalog().clock().now();
    let grant = Grant {
        id: GrantId(ctx.catalog().clock().id()),
        subject: ctx.account.clone(),
        issued_at: now,
        not_before: now,
        expires_at: now.after(span),
        methods: Methods::from_iter([Method::Read]),
        target,
        decision,
    };
    let token = ctx.lake.signer.mint(&grant)?;
    let url = match kind {
        DidKind::File => object_url(&ctx.lake, &did, &token),
        _ => format!("{}/s/{token}/{}/", ctx.lake.public_url, did.scope),
    };
    Ok(UrlView { url, did, expires_at: grant.expires_at })
}

/// The URL of one object with its token. The path ends in the file's own name, as readers look at
/// suffixes.
pub(super) fn object_url(lake: &Lake, did: &Did, token: &str) -> String {
    format!("{}/d/{}/{}?grant={token}", lake.public_url, did.scope, encode_name(did.name.as_str()))
}

/// A name as the end of a path, its slashes kept.
pub(crate) fn encode_name(name: &str) -> String {
    let segments: Vec<_> = name.split('/').map(|part| utf8_percent_encode(part, SEGMENT).to_string()).collect();
    segments.join("/")
}

/// A file that a grant opens.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The file.
    pub id: DidId,
    /// Its name.
    pub did: Did,
    /// Its length.
    pub bytes: u64,
    /// Its checksums.
    pub checksums: Vec<Checksum>,
}

/// Opens a signed URL for reading `did`. Touches no storage.
pub async fn open(lake: &Lake, token: &str, did: &Did) -> Result<Opened, ServiceError> {
    let grant = lake.verifier.verify(token, lake.catalog.clock().now())?;
    grant.permits(Method::Read, did)?;
    let view = lake.catalog.view().await?;
    let id = match &grant.target {
        Target::Object { id, .. } => *id,
        Target::Dataset { id: dataset, up_to_seq, .. } => {
            // What is no member is outside the grant, whether it exists or not.
            let outside = || GrantError::OutOfScope { asked: did.clone() };
            let name = view.get::<DidNames>(&(did.scope.to_string(), did.name.to_string())).await?;
            let file = name.ok_or_else(outside)?.id;
            let seq = view.get::<Parents>(&(file, *dataset)).await?.ok_or_else(outside)?;
            if up_to_seq.is_some_and(|end| seq >= end) {
                return Err(outside().into());
            }
            file
        }
        Target::Upload { .. } => return Err(GrantError::WrongMethod.into()),
    };
    let record = view.get::<Dids>(&(id,)).await?.ok_or_else(|| ServiceError::no_did(did))?;
    let facts = record.file().ok_or_else(|| ServiceError::no_did(did))?;
    Ok(Opened { id, did: did.clone(), bytes: facts.bytes, checksums: facts.checksums.clone() })
}

/// Lists the files that a dataset's grant opens.
pub async fn list(lake: &Lake, token: &str, paging: Paging) -> Result<Page<ContentView>, ServiceError> {
    let grant = lake.verifier.verify(token, lake.catalog.clock().now())?;
    let Target::Dataset { did, id, up_to_seq } = &grant.target else {
        return Err(ServiceError::invalid("not-a-dataset", "this URL reads one file and lists nothing"));
    };
    grant.permits(Method::Read, did)?;
    let view = lake.catalog.view().await?;
    let (rows, next) = contents_page(&view, *id, paging.after()?, paging.limit()?).await?;
    // Pages end where the grant ends: empty ones behind it would tell how much was added since.
    let next = next.filter(|last| up_to_seq.is_none_or(|end| last.parse().is_ok_and(|last: u64| last + 1 < end)));
    let included = rows.into_iter().filter(|(seq, ..)| up_to_seq.is_none_or(|end| *seq < end));
    let items = included
        .filter_map(|(seq, _, record)| {
            let facts = record.file()?;
            let (bytes, checksums) = (facts.bytes, facts.checksums.clone());
            Some(ContentView { did: record.did(), kind: DidKind::File, bytes, checksums, seq })
        })
        .collect();
    Ok(Page { items, next })
}

/// Where an opened file can be read, nearest first.
pub async fn replicas(lake: &Lake, opened: &Opened) -> Result<Vec<Located>, ServiceError> {
    let located = locate(&lake.catalog.view().await?, opened.id, &opened.did).await?;
    if located.is_empty() { Err(ServiceError::Unreadable { did: opened.did.clone() }) } else { Ok(located) }
}
