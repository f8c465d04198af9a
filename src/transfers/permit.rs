//! The guard before the last step: decides again, when bytes are about to get their final name,
//! whether they may be there. Labels and policies may have changed since the rule was placed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::catalog::decisions::{self, Alike, Decided};
use crate::catalog::labels::Gatherer;
use crate::catalog::ledger::locks;
use crate::catalog::record::{DecisionRecord, Dids};
use crate::catalog::{Catalog, CatalogError, endpoints, subjects};
use crate::model::facts::{EndpointFacts, Resource};
use crate::model::id::DecisionId;
use crate::policy::decision::{Action, NO_PERMIT, Question};
use crate::policy::judge::Judge;
use crate::transfers::job::Job;

/// How many records of equal decisions are remembered.
const RECORDED_MAX: usize = 1_024;

/// Whoever decides at the last moment. Copying asks through this, as it may run where the catalog is
/// out of reach.
pub trait LastWord: Send + Sync {
    /// Decides whether a job's bytes may be at its destination.
    fn permit<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Permission, CatalogError>>;
}

/// Decides by the catalog of this process.
pub struct Guard {
    /// Where facts come from.
    pub catalog: Catalog,
    /// Who decides.
    pub judge: Arc<Judge>,
    /// Records of equal decisions, so that many equal files share one.
    recorded: Mutex<HashMap<Alike, DecisionId>>,
}

/// What policy says of bytes that are about to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// They may be there, by this recorded decision.
    Granted(DecisionId),
    /// They may not.
    Denied {
        /// The policies that determined it.
        policies: Vec<String>,
    },
}

/// For tests of what comes before and after: says yes.
#[cfg(test)]
pub(super) struct Willing;

#[cfg(test)]
impl LastWord for Willing {
    fn permit<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Permission, CatalogError>> {
        futures::future::ready(Ok(Permission::Granted(job.decision))).boxed()
    }
}

impl LastWord for Guard {
    fn permit<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Permission, CatalogError>> {
        self.decide(job).boxed()
    }
}

impl Guard {
    /// Decides for transfers of this process.
    pub fn new(catalog: Catalog, judge: Arc<Judge>) -> Self {
        Self { catalog, judge, recorded: Mutex::default() }
    }

    /// Decides for any account whose rule wants the bytes there.
    async fn decide(&self, job: &Job) -> Result<Permission, CatalogError> {
        let view = self.catalog.view().await?;
        let (record, endpoint) =
            (view.get::<Dids>(&(job.file,)).await?, endpoints::by_id(&view, job.destination.id).await?);
        let (Some(record), Some(endpoint)) = (record, endpoint) else {
            return Ok(Permission::Denied { policies: vec![NO_PERMIT.to_owned()] });
        };
        let facts = Gatherer::new(&view).did(job.file, &record).await?;
        let at = Arc::new(EndpointFacts::from(&endpoint));
        let (resource, now) = (Resource::Did(facts.clone()), self.catalog.clock().now());
        let mut denied = vec![NO_PERMIT.to_owned()];
        for account in locks::accounts(&view, job.file, endpoint.id).await? {
            let subject = Arc::new(subjects::behind(&view, &account).await?);
            let question =
                Question { subject: &subject, action: Action::Place, resource: &resource, at: Some(&at), now };
            let decision = self.judge.decide(&question);
            if !decision.allows() {
                denied = decision.policies.to_vec();
                continue;
            }
            let (policies, revision) = (decision.policies.to_vec(), decision.revision.to_string());
            let decided = Decided { allowed: true, policies, revision };
            let record = decisions::on_place(&account, &facts, &endpoint.name, decided, now);
            if decisions::stands_for(&view, job.decision, &record).await? {
                return Ok(Permission::Granted(job.decision));
            }
            return self.keep(record).await.map(Permission::Granted);
        }
        Ok(Permission::Denied { policies: denied })
    }

    async fn keep(&self, record: DecisionRecord) -> Result<DecisionId, CatalogError> {
        let alike = Alike::of(&record);
        let known = self.recorded.lock().expect("nothing panics while holding it").get(&alike).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let id = self
            .catalog
            .transact_bulk(move |txn| {
                let record = record.clone();
                async move { Ok::<_, CatalogError>(decisions::record(&txn, &record)) }
            })
            .await?;
        let mut recorded = self.recorded.lock().expect("nothing panics while holding it");
        if recorded.len() >= RECORDED_MAX {
            recorded.clear();
        }
        recorded.insert(alike, id);
        Ok(id)
    }
}
