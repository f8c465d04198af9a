//! What somebody may see and do: gathers the facts of what is asked about, and asks the judge. What
//! somebody may not see is not there: it gets the answers of what does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::labels::Gatherer;
use crate::catalog::record::{ContentRecord, Contents, DecisionRecord, DidNames, DidRecord, Dids, RuleRecord, Rules};
use crate::catalog::{View, endpoints, subjects};
use crate::model::account::AccountName;
use crate::model::did::Did;
use crate::model::endpoint::Endpoint;
use crate::model::facts::{DidFacts, EndpointFacts, Resource, ScopeFacts, Subject};
use crate::model::id::{DidId, RuleId};
use crate::model::scope::Scope;
use crate::model::time::Timestamp;
use crate::policy::decision::{Action, Decision, Question};
use crate::policy::standing::Standing;
use crate::service::dids::find;
use crate::service::error::ServiceError;
use crate::service::paging::Rounds;
use crate::service::{Context, Lake, Permit, Reader};

/// How many lots of members are looked through where all of them count.
const LOTS_MAX: usize = if cfg!(test) { 1_000 } else { 10 };

/// A DID that somebody may see.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: DidId,
    pub(crate) record: DidRecord,
    pub(crate) facts: DidFacts,
}

impl Seen {
    pub(crate) fn resource(&self) -> Resource {
        Resource::Did(self.facts.clone())
    }
}

/// A member of a dataset or container: its place, and what it is.
pub(crate) type SeenMember = (u64, Seen);

/// The eyes of one account on one state of the catalog.
pub(crate) struct Sight {
    standing: Standing,
    now: Timestamp,
    gatherer: Gatherer,
}

impl Sight {
    /// The eyes of whoever asks.
    pub(crate) fn new(ctx: &Context, view: &View) -> Self {
        Self { standing: ctx.standing(), now: ctx.lake.catalog.clock().now(), gatherer: Gatherer::new(view) }
    }

    /// The eyes of the account behind a signed URL, as it is now; `None` if it is let in no more.
    pub(crate) async fn of_grant(lake: &Lake, view: &View, name: &AccountName) -> Result<Option<Self>, ServiceError> {
        let known = subjects::subject(view, name).await?;
        let subject = known.and_then(|(subject, suspended)| (!suspended).then_some(subject));
        Ok(subject.map(|subject| Self {
            standing: Standing::of_account(&lake.judge, name.clone(), subject),
            now: lake.catalog.clock().now(),
            gatherer: Gatherer::new(view),
        }))
    }

    /// The eyes of whoever reads, known or not.
    pub(crate) fn of_reader(reader: &Reader, view: &View) -> Self {
        match reader {
            Reader::Known(ctx) => Self::new(ctx, view),
            Reader::Anonymous(lake) => Self {
                standing: Standing::anonymous(&lake.judge),
                now: lake.catalog.clock().now(),
                gatherer: Gatherer::new(view),
            },
        }
    }

    pub(crate) fn view(&self) -> &View {
        self.gatherer.view()
    }

    pub(crate) fn subject(&self) -> &Arc<Subject> {
        self.standing.subject()
    }

    pub(crate) fn gatherer(&mut self) -> &mut Gatherer {
        &mut self.gatherer
    }

    /// Asks the policies, and nothing else.
    fn ask(&self, action: Action, resource: &Resource, at: Option<&Arc<EndpointFacts>>) -> Decision {
        self.standing.ask(action, resource, at, self.now)
    }

    /// Tells whether something is there for whoever asks. Which acts the key lets through has no say:
    /// one that may only write is told so, and not that there is nothing.
    pub(crate) fn sees(&self, resource: &Resource) -> bool {
        self.standing.sees(resource, self.now)
    }

    /// Tells whether whoever asks is told of everything in something, seen or not: who may write it says
    /// what is in it. Which acts the key lets through has no say.
    pub(crate) fn knows_all(&self, of: &Seen) -> bool {
        let resource = of.resource();
        (self.standing.reaches(&resource) && self.ask(Action::Write, &resource, None).allows()) || self.is_whole()
    }

    /// Tells whether whoever asks looks after the lake as a whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.standing.key().only.is_none() && self.ask(Action::Administer, &Resource::Lake, None).allows()
    }

    /// Decides, with what the key takes away.
    pub(crate) fn decide(&self, action: Action, resource: &Resource, at: Option<&Arc<EndpointFacts>>) -> Decision {
        self.standing.decide(action, resource, at, self.now)
    }

    /// Permits an act on something that is seen, or says why not.
    pub(crate) fn permit(
        &self,
        action: Action,
        resource: &Resource,
        at: Option<&Arc<EndpointFacts>>,
    ) -> Result<Permit, ServiceError> {
        let account = self.standing.account().ok_or(ServiceError::Unauthenticated("this needs an API key"))?;
        if !self.standing.key().lets(action.key_scope()) {
            return Err(ServiceError::KeyScope { action: action.name(), scope: action.key_scope() });
        }
        let decision = self.decide(action, resource, at);
        if !decision.allows() {
            return Err(denied(action, resource, at));
        }
        Ok(Permit { record: self.record(account, action, resource, at, &decision) })
    }

    fn record(
        &self,
        account: &AccountName,
        action: Action,
        resource: &Resource,
        at: Option<&Arc<EndpointFacts>>,
        decision: &Decision,
    ) -> DecisionRecord {
        DecisionRecord {
            principal: account.clone(),
            action: action.name().to_owned(),
            resource: resource.to_string(),
            endpoint: at.map(|at| at.name.clone()),
            allowed: decision.allows(),
            policies: decision.policies.to_vec(),
            at: self.now,
            revision: decision.revision.to_string(),
            labels: labels_of(resource),
        }
    }

    /// The endpoints that are there for whoever asks.
    pub(crate) async fn endpoints(&self) -> Result<Vec<Endpoint>, ServiceError> {
        let seen = |one: &Endpoint| self.sees(&Resource::Endpoint(Arc::new(EndpointFacts::from(one))));
        Ok(endpoints::all(self.view()).await?.into_iter().filter(seen).collect())
    }

    /// A scope that is there for whoever asks.
    pub(crate) async fn scope(&mut self, scope: &Scope) -> Result<Arc<ScopeFacts>, ServiceError> {
        let facts = self.gatherer.scope(scope).await?;
        let seen = facts.filter(|facts| self.sees(&Resource::Scope(Arc::clone(facts))));
        seen.ok_or_else(|| ServiceError::not_found("scope", scope))
    }

    /// A DID that is there for whoever asks. A file that was only announced is not there yet.
    pub(crate) async fn did(&mut self, did: &Did) -> Result<Seen, ServiceError> {
        let found = find(self.view(), did).await?;
        let found = found.filter(|(_, record)| record.file().is_none_or(|facts| !facts.announced));
        let absent = || ServiceError::no_did(did);
        let (id, record) = found.ok_or_else(absent)?;
        let facts = self.gatherer.did(id, &record).await?;
        let seen = Seen { id, record, facts };
        if self.sees(&seen.resource()) { Ok(seen) } else { Err(absent()) }
    }

    /// The DIDs of some names, all of which have to be there for whoever asks.
    pub(crate) async fn named(&mut self, dids: &[Did]) -> Result<Vec<Seen>, ServiceError> {
        let seen = self.by_names(dids.iter()).await?;
        dids.iter().map(|did| seen.get(did).cloned().ok_or_else(|| ServiceError::no_did(did))).collect()
    }

    /// Those of some DIDs that are there for whoever asks, by their names. A file that was only announced
    /// is not there yet.
    pub(crate) async fn by_names(
        &mut self,
        dids: impl Iterator<Item = &Did>,
    ) -> Result<BTreeMap<Did, Seen>, ServiceError> {
        let keys: Vec<_> = dids.map(|did| (did.scope.to_string(), did.name.to_string())).collect();
        let names = self.view().get_many::<DidNames>(&keys).await?;
        // What nobody is called has no number.
        let ids: BTreeSet<_> = names.into_iter().flatten().map(|name| (name.id,)).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let records = self.view().get_run::<Dids>(&ids).await?;
        let there = ids.into_iter().zip(records).filter_map(|((id,), record)| Some((id, record?)));
        let there = there.filter(|(_, record)| record.file().is_none_or(|facts| !facts.announced)).collect();
        let seen = self.of_these(there).await?;
        Ok(seen.into_iter().map(|(_, seen)| (seen.facts.did.clone(), seen)).collect())
    }

    /// A DID on which an act is permitted.
    pub(crate) async fn did_for(&mut self, action: Action, did: &Did) -> Result<(Seen, Permit), ServiceError> {
        let seen = self.did(did).await?;
        let permit = self.permit(action, &seen.resource(), None)?;
        Ok((seen, permit))
    }

    /// Those of some DIDs that are there for whoever asks, with where each stood.
    pub(crate) async fn of_these(&mut self, dids: Vec<(DidId, DidRecord)>) -> Result<Vec<(usize, Seen)>, ServiceError> {
        let asked: Vec<_> = dids.iter().map(|(id, record)| (*id, record)).collect();
        let facts = self.gatherer.dids(&asked).await?;
        let all = dids.into_iter().zip(facts).map(|((id, record), facts)| Seen { id, record, facts }).enumerate();
        Ok(all.filter(|(_, seen)| self.sees(&seen.resource())).collect())
    }

    /// A DID by its number, if it is there for whoever asks.
    pub(crate) async fn by_id(&mut self, id: DidId) -> Result<Option<Seen>, ServiceError> {
        let Some(record) = self.view().get::<Dids>(&(id,)).await? else {
            return Ok(None);
        };
        Ok(self.of_these(vec![(id, record)]).await?.pop().map(|(_, seen)| seen))
    }

    /// Those of some DIDs that are there for whoever asks, by their numbers.
    pub(crate) async fn by_ids(
        &mut self,
        ids: impl Iterator<Item = DidId>,
    ) -> Result<BTreeMap<DidId, Seen>, ServiceError> {
        let ids: BTreeSet<_> = ids.map(|id| (id,)).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let records = self.view().get_many::<Dids>(&ids).await?;
        let there = ids.into_iter().zip(records).filter_map(|((id,), record)| Some((id, record?))).collect();
        let seen = self.of_these(there).await?;
        Ok(seen.into_iter().map(|(_, seen)| (seen.id, seen)).collect())
    }

    /// A rule on something that is there for whoever asks.
    pub(crate) async fn rule(&mut self, id: RuleId) -> Result<(RuleRecord, Seen), ServiceError> {
        let absent = || ServiceError::not_found("rule", id);
        let rule = self.view().get::<Rules>(&(id,)).await?.ok_or_else(absent)?;
        let seen = self.by_id(rule.did).await?.ok_or_else(absent)?;
        Ok((rule, seen))
    }

    /// A rule that may be changed: one's own or one's group's, or of data from which one may remove.
    pub(crate) async fn rule_to_change(&mut self, id: RuleId) -> Result<RuleRecord, ServiceError> {
        let (rule, seen) = self.rule(id).await?;
        self.permit(Action::AddRule, &seen.resource(), None)?;
        if !self.subject().is_or_is_in(&rule.account) && !self.ask(Action::Delete, &seen.resource(), None).allows() {
            return Err(ServiceError::Denied { action: "change", resource: format!("rule {id}") });
        }
        Ok(rule)
    }

    /// A rule is placed by the rights, and within the limits, of its account: whoever else may end it
    /// may let it ask for less, and not for more.
    pub(crate) fn permit_wider(
        &self,
        ctx: &Context,
        id: RuleId,
        old: &RuleRecord,
        new: &RuleRecord,
    ) -> Result<(), ServiceError> {
        let ends = |rule: &RuleRecord| rule.expires_at.unwrap_or(Timestamp::from_millis(u64::MAX));
        let wider = new.copies > old.copies || new.expression != old.expression || ends(new) > ends(old);
        if wider && !self.subject().is_or_is_in(&old.account) && ctx.permit(Action::Administer, "the lake").is_err() {
            return Err(ServiceError::Denied { action: "widen", resource: format!("rule {id}") });
        }
        Ok(())
    }

    /// Members of a parent behind a place that are there for whoever asks, no more than fill a page, and
    /// the place that leads on. They may be few, or none, where many are hidden.
    pub(crate) async fn members(
        &mut self,
        parent: DidId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<SeenMember>, Option<u64>), ServiceError> {
        let (mut found, mut after, mut rounds) = (Vec::new(), after, Rounds::of(limit));
        while let Some(count) = rounds.next() {
            let view = self.view().clone();
            let rows = match after {
                None => view.scan::<Contents>(&(parent,), count).await?,
                Some(seq) => view.scan_after::<Contents>(&(parent,), &(parent, seq), count).await?,
            };
            let Some(((_, last), _)) = rows.last() else { return Ok((found, None)) };
            let (last, is_end) = (*last, rows.len() < count);
            let members = rows.into_iter().filter_map(|((_, seq), content)| match content {
                ContentRecord::Member(child) => Some((seq, child)),
                ContentRecord::Detached(_) => None,
            });
            let members: Vec<(u64, DidId)> = members.collect();
            let ids: Vec<_> = members.iter().map(|(_, id)| (*id,)).collect();
            let records = view.get_run::<Dids>(&ids).await?;
            let (places, there): (Vec<u64>, Vec<_>) =
                members.into_iter().zip(records).filter_map(|((seq, id), record)| Some((seq, (id, record?)))).unzip();
            for (at, seen) in self.of_these(there).await? {
                found.push((places[at], seen));
                if found.len() == limit {
                    return Ok((found, Some(places[at])));
                }
            }
            if is_end {
                return Ok((found, None));
            }
            after = Some(last);
        }
        Ok((found, after))
    }

    /// All members of a parent that are there for whoever asks; `None` if there are more than so many, or
    /// too much has to be looked through for them.
    pub(crate) async fn all_members(&mut self, parent: DidId, most: usize) -> Result<Option<Vec<Seen>>, ServiceError> {
        let (mut all, mut after) = (Vec::new(), None);
        for _ in 0..LOTS_MAX {
            let (members, next) = self.members(parent, after, most + 1).await?;
            all.extend(members.into_iter().map(|(_, seen)| seen));
            if all.len() > most {
                return Ok(None);
            }
            if next.is_none() {
                return Ok(Some(all));
            }
            after = next;
        }
        Ok(None)
    }
}

/// The labels of what was decided about, as decisions keep them.
pub(crate) fn labels_of(resource: &Resource) -> String {
    match resource {
        Resource::Did(facts) => facts.traits.labels.to_string(),
        Resource::Scope(facts) => facts.labels.to_string(),
        Resource::Lake | Resource::Endpoint(_) => String::new(),
    }
}

fn denied(action: Action, resource: &Resource, at: Option<&Arc<EndpointFacts>>) -> ServiceError {
    let place = at.map_or_else(String::new, |at| format!(" at {}", at.name));
    ServiceError::Denied { action: action.name(), resource: format!("{resource}{place}") }
}

impl Context {
    /// What whoever asks may do.
    pub fn standing(&self) -> Standing {
        Standing::new(&self.lake.judge, &self.principal)
    }

    /// The eyes of whoever asks on a state of the catalog.
    pub(crate) fn sight(&self, view: &View) -> Sight {
        Sight::new(self, view)
    }

    /// Asks policy whether the account may do something with the lake as a whole; `what` says with
    /// which part of it, for records and refusals.
    pub fn permit(&self, action: Action, what: impl ToString) -> Result<Permit, ServiceError> {
        let what = what.to_string();
        self.permit_of(action, &Resource::Lake, what)
    }

    /// Asks policy whether the account may do something with an endpoint.
    pub fn permit_endpoint(&self, action: Action, endpoint: &Endpoint) -> Result<Permit, ServiceError> {
        let facts = Arc::new(EndpointFacts::from(endpoint));
        self.permit_of(action, &Resource::Endpoint(facts), format!("endpoint {}", endpoint.name))
    }

    fn permit_of(&self, action: Action, resource: &Resource, what: String) -> Result<Permit, ServiceError> {
        if !self.principal.key.lets(action.key_scope()) {
            return Err(ServiceError::KeyScope { action: action.name(), scope: action.key_scope() });
        }
        let subject = Arc::new(Subject::from(&self.principal));
        let now = self.lake.catalog.clock().now();
        let decision = self.lake.judge.decide(&Question { subject: &subject, action, resource, at: None, now });
        if !decision.allows() {
            return Err(ServiceError::Denied { action: action.name(), resource: what });
        }
        let record = DecisionRecord {
            principal: self.account().clone(),
            action: action.name().to_owned(),
            resource: what,
            endpoint: None,
            allowed: true,
            policies: decision.policies.to_vec(),
            at: now,
            revision: decision.revision.to_string(),
            labels: String::new(),
        };
        Ok(Permit { record })
    }
}

#[cfg(test)]
pub(in crate::service) mod tests;
