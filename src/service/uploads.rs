//! Uploads: announce files and hand out signed URLs for their bytes; take the bytes.

use crate::fault::Fault as _;
use crate::model::account::AccountName;
use crate::model::checksum::Algorithm;
use crate::model::did::{Did, DidName};
use crate::model::id::{DecisionId, GrantId};
use crate::model::replica::FILE_BYTES_MAX;
use crate::policy::grant::{Grant, Method, Methods, Mode, Target as GrantTarget};
use crate::replicas::Target;
use crate::replicas::announce::{Announced, Answer};
use crate::replicas::upload::Sending;
use crate::service::dids::ensure_dataset;
use crate::service::error::ServiceError;
use crate::service::metadata::{WRITTEN_BYTES_MAX, bytes_of, read_given};
use crate::service::sight::Sight;
use crate::service::urls::object_url;
use crate::service::view::{NewUpload, NewUploads, UploadView, Uploaded, Uploads};
use crate::service::{Context, Lake, endpoints};
use crate::storage::backend::ByteStream;

/// Announces files; answers with a signed URL for each whose bytes are wanted.
pub async fn announce_files(ctx: &Context, new: NewUploads) -> Result<Uploads, ServiceError> {
    if new.files.len() > crate::catalog::TRANSACTION_FILES_MAX {
        let detail = format!("announce at most {} files at a time", crate::catalog::TRANSACTION_FILES_MAX);
        return Err(ServiceError::invalid("too-many-files", detail));
    }
    let read: Vec<Result<Announced, UploadView>> = new.files.iter().map(read_file).collect();
    let good: Vec<_> = read.iter().filter_map(|file| file.as_ref().ok().cloned()).collect();
    if good.iter().map(|file| bytes_of(file.meta.as_ref())).sum::<usize>() > WRITTEN_BYTES_MAX {
        let detail = format!("announce fewer files at a time: their metadata has over {WRITTEN_BYTES_MAX} bytes");
        return Err(ServiceError::invalid("too-many-files", detail));
    }
    let endpoint = endpoints::find(&ctx.catalog().view().await?, &new.endpoint).await?;
    let (dataset, decision) = ensure_dataset(ctx, &new.to, &endpoint).await?;
    let (scope, account) = (new.to.scope.clone(), ctx.account().clone());
    let standing = std::sync::Arc::new(ctx.standing());
    let target = Target { scope, dataset, endpoint: endpoint.id, account, standing, decision };
    let uploads = &ctx.lake.uploads;
    let answers = if ctx.is_dry_run() {
        uploads.rehearse(ctx.catalog(), target.clone(), good).await?
    } else {
        uploads.announce(target.clone(), good).await?
    };
    let mut answers = answers.into_iter();
    let mut items = Vec::with_capacity(read.len());
    for file in read {
        items.push(match file {
            Err(refused) => refused,
            Ok(file) => {
                let answer = answers.next().expect("every file announced has an answer");
                to_view(ctx, &target, &new.to, &file, answer)?
            }
        });
    }
    Ok(Uploads { items })
}

fn read_file(file: &NewUpload) -> Result<Announced, UploadView> {
    let refused = |code: &str, detail: String| UploadView::Refused { code: code.to_owned(), detail };
    let name = DidName::parse(&file.name).map_err(|error| refused("invalid-name", error.to_string()))?;
    if file.checksum.algorithm() != Algorithm::Blake3 {
        return Err(refused("invalid-checksum", "uploads are announced with their BLAKE3".to_owned()));
    }
    if file.bytes > FILE_BYTES_MAX {
        return Err(refused("invalid-length", format!("a file has at most {FILE_BYTES_MAX} bytes")));
    }
    let meta = read_given(file.meta.as_ref()).map_err(|error| {
        let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
        refused(error.code(), format!("{error}{hint}"))
    })?;
    Ok(Announced { name, bytes: file.bytes, checksum: file.checksum.clone(), meta })
}

fn to_view(
    ctx: &Context,
    target: &Target,
    to: &Did,
    file: &Announced,
    answer: Answer,
) -> Result<UploadView, ServiceError> {
    let (id, intent, until) = match answer {
        Answer::Done => return Ok(UploadView::Done),
        Answer::Refused { code, detail } => {
            return Ok(UploadView::Refused { code: code.to_owned(), detail });
        }
        Answer::Send { file, intent, until } => (file, intent, until),
    };
    let did = Did { scope: to.scope.clone(), name: file.name.clone() };
    let now = ctx.catalog().clock().now();
    let grant = Grant {
        id: GrantId(ctx.catalog().clock().id()),
        subject: ctx.account().clone(),
        issued_at: now,
        not_before: now,
        expires_at: until,
        methods: Methods::from_iter([Method::Write]),
        target: GrantTarget::Upload {
            did: did.clone(),
            id,
            endpoint: target.endpoint,
            intent,
            bytes: file.bytes,
            checksum: file.checksum.clone(),
        },
        from: None,
        mode: Mode::Stream,
        decision: target.decision,
    };
    // What never happens is granted to nobody.
    let token = if ctx.is_dry_run() { String::new() } else { ctx.lake.signer.mint(&grant)? };
    let url = object_url(&ctx.lake, &did, &token);
    Ok(UploadView::Put { url, expires_at: until })
}

/// An upload that a grant allows.
#[derive(Debug, Clone)]
pub struct UploadGrant {
    /// What is sent.
    pub sending: Sending,
    /// The account that answers for it.
    pub account: AccountName,
    /// The recorded decision behind it.
    pub decision: DecisionId,
}

/// Opens a signed URL for an upload of `did`.
pub async fn open(lake: &Lake, token: &str, did: &Did) -> Result<UploadGrant, ServiceError> {
    let grant = lake.verifier.verify(token, lake.catalog.clock().now())?;
    grant.permits(Method::Write, did)?;
    let GrantTarget::Upload { did, id, endpoint, intent, bytes, checksum } = grant.target else {
        return Err(ServiceError::Grant(crate::policy::grant::GrantError::WrongMethod));
    };
    // Whether the bytes may be there is decided when they are about to be.
    let view = lake.catalog.view().await?;
    Sight::of_grant(lake, &view, &grant.subject).await?.ok_or(ServiceError::Withdrawn)?;
    let sending = Sending { file: id, did, endpoint, intent, bytes, checksum, account: grant.subject.clone() };
    Ok(UploadGrant { sending, account: grant.subject, decision: grant.decision })
}

/// Takes the bytes of an upload.
pub async fn take(lake: &Lake, grant: &UploadGrant, content: ByteStream) -> Result<Uploaded, ServiceError> {
    let sending = &grant.sending;
    lake.uploads.take(sending, content).await.inspect_err(|error| {
        tracing::info!(did = %sending.did, code = error.code(), "an upload of {} ended: {error}", sending.did);
    })?;
    Ok(Uploaded { did: sending.did.clone(), bytes: sending.bytes, checksum: sending.checksum.clone() })
}
