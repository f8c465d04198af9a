//! Decides, when the bytes of an upload are about to get their final name, whether they may be there, and
//! whether who announced them may still write there: labels, policies and accounts may have changed.

use std::sync::Arc;

use crate::catalog::decisions::{self, Decided};
use crate::catalog::labels::Gatherer;
use crate::catalog::record::{DecisionRecord, DidRecord, Dids, IntentAct, Intents};
use crate::catalog::{Catalog, View, endpoints, subjects};
use crate::model::facts::{EndpointFacts, Resource, Subject};
use crate::model::id::DidId;
use crate::policy::decision::{Action, Question};
use crate::policy::judge::Judge;
use crate::replicas::upload::{Sending, UploadError};

/// What a decision names when an account is suspended.
const SUSPENDED: &str = "builtin/suspended";

/// The decision that lets an upload's bytes be where they are sent, with the labels of the dataset
/// that they are to join.
pub(super) async fn permit(catalog: &Catalog, judge: &Judge, sending: &Sending) -> Result<DecisionRecord, UploadError> {
    let view = catalog.view().await?;
    let record = view.get::<Dids>(&(sending.file,)).await?.ok_or(UploadError::Gone)?;
    let endpoint = endpoints::by_id(&view, sending.endpoint).await?.ok_or(UploadError::Gone)?;
    let intent = view.get::<Intents>(&(sending.file, sending.endpoint)).await?.ok_or(UploadError::Gone)?;
    let IntentAct::Upload { dataset, .. } = intent.act else { return Err(UploadError::Gone) };
    let (mut gatherer, now) = (Gatherer::new(&view), catalog.clock().now());
    let subject = sender(&view, sending).await?;
    for resource in written(&mut gatherer, sending, &record, dataset).await? {
        let decision =
            judge.decide(&Question { subject: &subject, action: Action::Write, resource: &resource, at: None, now });
        if !decision.allows() {
            return Err(not_theirs(sending, decision.policies.to_vec()));
        }
    }
    let alone = gatherer.did(sending.file, &record).await?;
    let facts = gatherer.below_also(&alone, dataset).await?;
    let (at, resource) = (Arc::new(EndpointFacts::from(&endpoint)), Resource::Did(facts.clone()));
    let action = Action::Place;
    let decision = judge.decide(&Question { subject: &subject, action, resource: &resource, at: Some(&at), now });
    let policies = decision.policies.to_vec();
    if !decision.allows() {
        return Err(UploadError::Denied { did: sending.did.clone(), endpoint: endpoint.name, policies });
    }
    let decided = Decided { allowed: true, policies, revision: decision.revision.to_string() };
    Ok(decisions::on_place(&sending.account, &facts, &endpoint.name, decided, now))
}

/// Who answers for the upload, as they are now.
async fn sender(view: &View, sending: &Sending) -> Result<Arc<Subject>, UploadError> {
    match subjects::subject(view, &sending.account).await? {
        Some((subject, false)) => Ok(Arc::new(subject)),
        _ => Err(not_theirs(sending, vec![SUSPENDED.to_owned()])),
    }
}

/// What an upload writes: the dataset that grows, and the file; of one that was only announced, the scope
/// that has its name.
async fn written(
    gatherer: &mut Gatherer,
    sending: &Sending,
    record: &DidRecord,
    dataset: DidId,
) -> Result<Vec<Resource>, UploadError> {
    let holder = gatherer.view().get::<Dids>(&(dataset,)).await?.ok_or(UploadError::Gone)?;
    let mut written = vec![Resource::Did(gatherer.did(dataset, &holder).await?)];
    if record.file().is_some_and(|facts| facts.announced) {
        let scope = gatherer.scope(&record.scope).await?.ok_or(UploadError::Gone)?;
        written.push(Resource::Scope(scope));
    } else {
        written.push(Resource::Did(gatherer.did(sending.file, record).await?));
    }
    Ok(written)
}

fn not_theirs(sending: &Sending, policies: Vec<String>) -> UploadError {
    UploadError::NotTheirs { did: sending.did.clone(), account: sending.account.clone(), policies }
}
