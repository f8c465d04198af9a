//! Asks policy whether the data of rules may be where they want it, for the account behind each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::catalog::decisions::{self, Alike, Decided};
use crate::catalog::labels::Gatherer;
use crate::catalog::record::{Dids, RuleRecord};
use crate::catalog::{CatalogError, Txn, View, subjects};
use crate::model::account::AccountName;
use crate::model::endpoint::Endpoint;
use crate::model::facts::{DidFacts, EndpointFacts, Resource, Subject};
use crate::model::id::{DecisionId, DidId, EndpointId};
use crate::model::time::Timestamp;
use crate::policy::decision::{Action, Decision, Question};
use crate::policy::judge::Judge;
use crate::rules::place::Denial;

/// Asks for one rule, of one state of the catalog.
pub(super) struct Asker<'a> {
    judge: &'a Judge,
    account: AccountName,
    subject: Arc<Subject>,
    now: Timestamp,
    gatherer: Gatherer,
    places: HashMap<EndpointId, Arc<EndpointFacts>>,
    recorded: HashMap<Alike, DecisionId>,
}

impl<'a> Asker<'a> {
    pub(super) async fn new(
        view: &View,
        judge: &'a Judge,
        rule: &RuleRecord,
        now: Timestamp,
    ) -> Result<Self, CatalogError> {
        let subject = Arc::new(subjects::behind(view, &rule.account).await?);
        let (account, gatherer) = (rule.account.clone(), Gatherer::new(view));
        let (places, recorded) = (HashMap::new(), HashMap::new());
        Ok(Self { judge, account, subject, now, gatherer, places, recorded })
    }

    /// What is known of units; those that are gone are left out.
    pub(super) async fn facts(&mut self, units: &[DidId]) -> Result<Vec<DidFacts>, CatalogError> {
        Ok(self.facts_by_unit(units).await?.into_values().collect())
    }

    /// The same, by unit.
    pub(super) async fn facts_by_unit(&mut self, units: &[DidId]) -> Result<BTreeMap<DidId, DidFacts>, CatalogError> {
        let keys: Vec<_> = units.iter().map(|unit| (*unit,)).collect();
        let records = self.gatherer.view().get_many::<Dids>(&keys).await?;
        let known: Vec<_> =
            units.iter().zip(&records).filter_map(|(id, record)| Some((*id, record.as_ref()?))).collect();
        let facts = self.gatherer.dids(&known).await?;
        Ok(known.into_iter().map(|(id, _)| id).zip(facts).collect())
    }

    fn decide(&self, facts: &DidFacts, at: &Arc<EndpointFacts>) -> Decision {
        let resource = Resource::Did(facts.clone());
        let (subject, action, now) = (&self.subject, Action::Place, self.now);
        self.judge.decide(&Question { subject, action, resource: &resource, at: Some(at), now })
    }

    fn place(&mut self, endpoint: &Endpoint) -> Arc<EndpointFacts> {
        let known = self.places.entry(endpoint.id).or_insert_with(|| Arc::new(EndpointFacts::from(endpoint)));
        Arc::clone(known)
    }

    /// Why some of the data may not be at an endpoint, if it may not.
    pub(super) fn denial(&mut self, data: &[DidFacts], endpoint: &Endpoint) -> Option<Denial> {
        let at = self.place(endpoint);
        let denied = data.iter().map(|facts| self.decide(facts, &at)).find(|decision| !decision.allows())?;
        Some(Denial { endpoint: endpoint.name.clone(), policies: denied.policies.to_vec() })
    }

    /// Decides for good, and records what lets data be at an endpoint, once for equal data.
    pub(super) fn permit(&mut self, txn: &Txn, facts: &DidFacts, endpoint: &Endpoint) -> Result<DecisionId, Denial> {
        let at = self.place(endpoint);
        // Policies may name data: what holds for equal data need not hold for this.
        let decision = self.decide(facts, &at);
        if !decision.allows() {
            return Err(Denial { endpoint: endpoint.name.clone(), policies: decision.policies.to_vec() });
        }
        let decided =
            Decided { allowed: true, policies: decision.policies.to_vec(), revision: decision.revision.to_string() };
        let record = decisions::on_place(&self.account, facts, &endpoint.name, decided, txn.now());
        let known = self.recorded.entry(Alike::of(&record));
        Ok(*known.or_insert_with(|| decisions::record(txn, &record)))
    }
}
