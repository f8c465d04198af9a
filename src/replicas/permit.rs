//! Decides, when the bytes of an upload are about to get their final name, whether they may be there:
//! labels and policies may have changed since it was announced.

use std::sync::Arc;

use crate::catalog::decisions::{self, Decided};
use crate::catalog::labels::Gatherer;
use crate::catalog::record::{DecisionRecord, Dids, IntentAct, Intents};
use crate::catalog::{Catalog, endpoints, subjects};
use crate::model::facts::{EndpointFacts, Resource};
use crate::policy::decision::{Action, Question};
use crate::policy::judge::Judge;
use crate::replicas::upload::{Sending, UploadError};

/// The decision that lets an upload's bytes be where they are sent, with the labels of the dataset
/// that they are to join.
pub(super) async fn permit(catalog: &Catalog, judge: &Judge, sending: &Sending) -> Result<DecisionRecord, UploadError> {
    let view = catalog.view().await?;
    let record = view.get::<Dids>(&(sending.file,)).await?.ok_or(UploadError::Gone)?;
    let endpoint = endpoints::by_id(&view, sending.endpoint).await?.ok_or(UploadError::Gone)?;
    let intent = view.get::<Intents>(&(sending.file, sending.endpoint)).await?.ok_or(UploadError::Gone)?;
    let IntentAct::Upload { dataset, .. } = intent.act else { return Err(UploadError::Gone) };
    let mut gatherer = Gatherer::new(&view);
    let alone = gatherer.did(sending.file, &record).await?;
    let facts = gatherer.below_also(&alone, dataset).await?;
    let (at, subject) =
        (Arc::new(EndpointFacts::from(&endpoint)), Arc::new(subjects::behind(&view, &sending.account).await?));
    let (resource, now) = (Resource::Did(facts.clone()), catalog.clock().now());
    let action = Action::Place;
    let decision = judge.decide(&Question { subject: &subject, action, resource: &resource, at: Some(&at), now });
    let policies = decision.policies.to_vec();
    if !decision.allows() {
        return Err(UploadError::Denied { did: sending.did.clone(), endpoint: endpoint.name, policies });
    }
    let decided = Decided { allowed: true, policies, revision: decision.revision.to_string() };
    Ok(decisions::on_place(&sending.account, &facts, &endpoint.name, decided, now))
}
