//! Labels: sets are kept once each, however many things have them, and what holds for a DID is
//! computed when it is asked for, by walking up to everything that holds it. So a label that is
//! tightened anywhere above binds at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::record::placing::CauseRecord;
use crate::catalog::record::{
    DidLabels, DidRecord, Facts, LabelSetRecord, LabelSets, LabelSetsByHash, LabelledDue, Parents, RulesByDid,
    ScopeLabels, Scopes,
};
use crate::catalog::table::Value as _;
use crate::catalog::{CatalogError, Txn, View, placing, subjects};
use crate::model::account::AccountName;
use crate::model::change::Change;
use crate::model::did::DidKind;
use crate::model::facts::{DidFacts, DidTraits, ScopeFacts, Subject};
use crate::model::id::{DidId, LabelSetId, RuleId};
use crate::model::label::{Classification, LabelSet};
use crate::model::scope::Scope;

/// The most DIDs above one that are walked up to. Behind a wider hull nothing is public.
const ABOVE_MAX: usize = 10_000;
/// The most parents of one DID that are read together.
const PARENTS_MAX: usize = ABOVE_MAX;
/// The most rules on one DID that are told of a change of its labels.
const RULES_MAX: usize = 1_000;

/// How often labels have been set in this lake.
const REVISION: &str = "labels_revision";
/// The last set's number.
const NEXT: &str = "next_label_set";

/// Grows with every change of any label.
pub async fn revision(view: &View) -> Result<u64, CatalogError> {
    Ok(view.get::<Facts>(&(REVISION.to_owned(),)).await?.unwrap_or(0))
}

/// The labels that a scope has of its own.
pub async fn of_scope(view: &View, scope: &Scope) -> Result<LabelSet, CatalogError> {
    let id = view.get::<ScopeLabels>(&(scope.to_string(),)).await?;
    set(view, id).await
}

/// The labels that a DID has of its own.
pub async fn of_did(view: &View, did: DidId) -> Result<LabelSet, CatalogError> {
    let id = view.get::<DidLabels>(&(did,)).await?;
    set(view, id).await
}

async fn set(view: &View, id: Option<u64>) -> Result<LabelSet, CatalogError> {
    let Some(id) = id else { return Ok(LabelSet::default()) };
    // A set that is named and not there would make everything below it public.
    let record = view.get::<LabelSets>(&(LabelSetId(id),)).await?;
    Ok(record.map_or_else(strictest, LabelSet::from))
}

fn strictest() -> LabelSet {
    LabelSet { classification: Some(Classification::Personal), residency: Some(BTreeSet::new()), ..LabelSet::default() }
}

/// Gives a scope labels in place of those it has. All rules are placed anew.
pub async fn put_of_scope(txn: &Txn, scope: &Scope, labels: &LabelSet) -> Result<(), CatalogError> {
    let key = (scope.to_string(),);
    match intern(txn, labels).await? {
        Some(id) => txn.put::<ScopeLabels>(&key, &id.0),
        None => txn.clear::<ScopeLabels>(&key),
    }
    raise(txn).await?;
    placing::tell_all(txn).await?;
    txn.emit(&Change::ScopeLabelled { scope: scope.to_string() });
    Ok(())
}

/// Gives a DID labels in place of those it has. Returns rules that are to be placed anew at once, as
/// [`changed`] does.
pub async fn put_of_did(
    txn: &Txn,
    did: DidId,
    kind: DidKind,
    labels: &LabelSet,
) -> Result<Vec<(RuleId, DidId)>, CatalogError> {
    match intern(txn, labels).await? {
        Some(id) => txn.put::<DidLabels>(&(did,), &id.0),
        None => txn.clear::<DidLabels>(&(did,)),
    }
    raise(txn).await?;
    txn.emit(&Change::DidLabelled { did });
    changed(txn, did, kind).await
}

/// The labels of a DID, and of what it holds, are not what they were. Returns the rules on it and above
/// it, which are to be placed anew; others that may be concerned are told of in the catalog.
pub async fn changed(txn: &Txn, did: DidId, kind: DidKind) -> Result<Vec<(RuleId, DidId)>, CatalogError> {
    match kind {
        DidKind::Container => {
            placing::tell_all(txn).await?;
            return Ok(Vec::new());
        }
        DidKind::Dataset => placing::tell(txn, &CauseRecord::Files(did)),
        DidKind::File => {}
    }
    let mut rules = Vec::new();
    for above in upward(txn, did, None).await?.unwrap_or_default() {
        let on = txn.scan::<RulesByDid>(&(above,), RULES_MAX).await?;
        rules.extend(on.into_iter().map(|((_, rule), ())| (rule, above)));
    }
    Ok(rules)
}

/// Some files have joined a dataset or left it, and its labels with that. Rules on them are placed anew at
/// once; others that may place them are told of in the catalog. Files with labels of their own are to be
/// looked at, as they may lie where the dataset's rules may not have them.
pub async fn moved_files(txn: &Txn, dataset: DidId, files: &[DidId]) -> Result<(), CatalogError> {
    if files.is_empty() || revision(txn).await? == 0 {
        return Ok(());
    }
    let keys: Vec<_> = files.iter().map(|file| (*file,)).collect();
    let own = txn.get_many::<DidLabels>(&keys).await?;
    for (file, _) in keys.iter().zip(own).filter(|(_, own)| own.is_some()) {
        txn.put::<LabelledDue>(file, &());
    }
    if *Gatherer::new(txn).holder(dataset).await? == LabelSet::default() {
        return Ok(());
    }
    for ((file, rule), ()) in txn.scan_many::<RulesByDid>(&keys, RULES_MAX).await?.into_iter().flatten() {
        placing::begin(txn, rule, file).await?;
    }
    // Most files are in one dataset alone, which has its own news of them.
    let mut holders = txn.scan_many::<Parents>(&keys, 2).await?.into_iter().flatten();
    if holders.any(|((_, holder), _)| holder != dataset) {
        placing::tell(txn, &CauseRecord::Files(dataset));
    }
    Ok(())
}

async fn raise(txn: &Txn) -> Result<(), CatalogError> {
    let key = (REVISION.to_owned(),);
    let now = txn.get::<Facts>(&key).await?.unwrap_or(0);
    txn.put::<Facts>(&key, &(now + 1));
    Ok(())
}

/// The number of a set, which is stored if it is new. The empty set has none.
async fn intern(txn: &Txn, labels: &LabelSet) -> Result<Option<LabelSetId>, CatalogError> {
    if *labels == LabelSet::default() {
        return Ok(None);
    }
    let record = LabelSetRecord::from(labels.clone());
    let key = (blake3::hash(&record.encode()).to_hex().to_string(),);
    if let Some(known) = txn.get::<LabelSetsByHash>(&key).await? {
        return Ok(Some(LabelSetId(known)));
    }
    let next = (NEXT.to_owned(),);
    let id = LabelSetId(txn.get::<Facts>(&next).await?.unwrap_or(0) + 1);
    txn.put::<Facts>(&next, &id.0);
    txn.put::<LabelSets>(&(id,), &record);
    txn.put::<LabelSetsByHash>(&key, &id.0);
    Ok(Some(id))
}

/// The DID and everything that holds it, nearest first. `None` if that is too much.
async fn upward(view: &View, did: DidId, supposed: Option<&Supposed>) -> Result<Option<Vec<DidId>>, CatalogError> {
    let mut seen = BTreeSet::from([did]);
    let mut order = vec![did];
    let mut at = 0;
    while at < order.len() {
        for parent in parents(view, order[at], supposed).await? {
            if seen.insert(parent) {
                order.push(parent);
            }
        }
        if order.len() > ABOVE_MAX {
            return Ok(None);
        }
        at += 1;
    }
    Ok(Some(order))
}

async fn parents(view: &View, did: DidId, supposed: Option<&Supposed>) -> Result<Vec<DidId>, CatalogError> {
    let rows = view.scan::<Parents>(&(did,), PARENTS_MAX).await?;
    let mut parents: Vec<DidId> = rows.into_iter().map(|((_, parent), _)| parent).collect();
    if let Some(supposed) = supposed {
        supposed.parents(did, &mut parents);
    }
    Ok(parents)
}

/// A change that is not made, to see which labels would follow from it.
#[derive(Debug, Clone)]
pub enum Supposed {
    /// A DID has other labels of its own.
    Labelled(DidId, LabelSet),
    /// Something holds some DIDs as well.
    Attached {
        /// What is held.
        children: BTreeSet<DidId>,
        /// What holds them.
        to: DidId,
    },
    /// Something holds some DIDs no more.
    Detached {
        /// What was held.
        children: BTreeSet<DidId>,
        /// What held them.
        from: DidId,
    },
}

impl Supposed {
    /// The labels that a DID would have of its own.
    fn own(&self, did: DidId, known: LabelSet) -> LabelSet {
        match self {
            Supposed::Labelled(of, labels) if *of == did => labels.clone(),
            _ => known,
        }
    }

    /// What would hold a DID, in the order in which it is stored.
    fn parents(&self, of: DidId, known: &mut Vec<DidId>) {
        match self {
            Supposed::Attached { children, to } if children.contains(&of) && !known.contains(to) => {
                known.push(*to);
                known.sort_unstable();
            }
            Supposed::Detached { children, from } if children.contains(&of) => known.retain(|parent| parent != from),
            _ => {}
        }
    }
}

/// Gathers what policies are told of DIDs, from one view. What it has read once it remembers, so that
/// a page of a dataset costs little more than a single row.
pub struct Gatherer {
    view: View,
    /// Whether anything at all has labels; if not, nothing has to be looked up for them.
    any: Option<bool>,
    scopes: BTreeMap<Scope, Option<Arc<ScopeFacts>>>,
    owners: BTreeMap<AccountName, Arc<Subject>>,
    /// Labels of what holds others, with all that holds those.
    above: BTreeMap<DidId, Arc<LabelSet>>,
    /// Sets by their numbers.
    sets: BTreeMap<u64, LabelSet>,
    /// Labels by the sets they were joined from, so that equal ones are one.
    joined: BTreeMap<LabelSet, Arc<LabelSet>>,
    /// What is gathered as if it were so.
    supposed: Option<Supposed>,
}

impl Gatherer {
    /// Gathers from a view.
    pub fn new(view: &View) -> Self {
        let (scopes, owners) = (BTreeMap::new(), BTreeMap::new());
        let (above, sets, joined) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { view: view.clone(), any: None, scopes, owners, above, sets, joined, supposed: None }
    }

    /// Gathers from a view as it would be after a change.
    pub fn supposing(view: &View, supposed: Supposed) -> Self {
        // Without any labels, only one that is supposed can be one.
        let any = matches!(supposed, Supposed::Labelled(..)).then_some(true);
        Self { any, supposed: Some(supposed), ..Self::new(view) }
    }

    /// The view that is gathered from.
    pub fn view(&self) -> &View {
        &self.view
    }

    async fn any(&mut self) -> Result<bool, CatalogError> {
        if self.any.is_none() {
            self.any = Some(revision(&self.view).await? > 0);
        }
        Ok(self.any == Some(true))
    }

    async fn set(&mut self, id: Option<u64>) -> Result<LabelSet, CatalogError> {
        let Some(id) = id else { return Ok(LabelSet::default()) };
        if let Some(known) = self.sets.get(&id) {
            return Ok(known.clone());
        }
        let found = set(&self.view, Some(id)).await?;
        self.sets.insert(id, found.clone());
        Ok(found)
    }

    fn one(&mut self, labels: LabelSet) -> Arc<LabelSet> {
        let known = self.joined.entry(labels).or_insert_with_key(|labels| Arc::new(labels.clone()));
        Arc::clone(known)
    }

    /// What is known of an account that owns something.
    pub async fn owner(&mut self, name: &AccountName) -> Result<Arc<Subject>, CatalogError> {
        if let Some(known) = self.owners.get(name) {
            return Ok(Arc::clone(known));
        }
        let known = subjects::subject(&self.view, name).await?;
        let owner = Arc::new(known.map_or_else(|| Subject::only_named(name.clone()), |(subject, _)| subject));
        self.owners.insert(name.clone(), Arc::clone(&owner));
        Ok(owner)
    }

    /// What is known of a scope; `None` if there is none.
    pub async fn scope(&mut self, scope: &Scope) -> Result<Option<Arc<ScopeFacts>>, CatalogError> {
        if let Some(known) = self.scopes.get(scope) {
            return Ok(known.clone());
        }
        let facts = match self.view.get::<Scopes>(&(scope.to_string(),)).await? {
            None => None,
            Some(record) => {
                let labels = if self.any().await? { of_scope(&self.view, scope).await? } else { LabelSet::default() };
                let (labels, owner) = (self.one(labels), self.owner(&record.account).await?);
                Some(Arc::new(ScopeFacts { scope: scope.clone(), owner, labels }))
            }
        };
        self.scopes.insert(scope.clone(), facts.clone());
        Ok(facts)
    }

    /// The scope of a DID that is there. One without a record belongs to root, and shows nothing.
    async fn scope_of(&mut self, record: &DidRecord) -> Result<Arc<ScopeFacts>, CatalogError> {
        if let Some(facts) = self.scope(&record.scope).await? {
            return Ok(facts);
        }
        let (labels, owner) = (self.one(strictest()), self.owner(&AccountName::root()).await?);
        Ok(Arc::new(ScopeFacts { scope: record.scope.clone(), owner, labels }))
    }

    /// What is known of a DID.
    pub async fn did(&mut self, id: DidId, record: &DidRecord) -> Result<DidFacts, CatalogError> {
        let mut facts = self.dids(&[(id, record)]).await?;
        Ok(facts.pop().expect("one answer for one DID"))
    }

    /// What is known of DIDs, in their order.
    pub async fn dids(&mut self, dids: &[(DidId, &DidRecord)]) -> Result<Vec<DidFacts>, CatalogError> {
        let labelled = self.any().await?;
        let ids: Vec<_> = dids.iter().map(|(id, _)| (*id,)).collect();
        let parents = if labelled { self.view.scan_many::<Parents>(&ids, PARENTS_MAX).await? } else { Vec::new() };
        let own = if labelled { self.view.get_run::<DidLabels>(&ids).await? } else { Vec::new() };
        let mut facts = Vec::with_capacity(dids.len());
        for (at, (_, record)) in dids.iter().enumerate() {
            let scope = self.scope_of(record).await?;
            let mut labels = Arc::clone(&scope.labels);
            if labelled {
                let mut own = self.set(own[at]).await?;
                let mut parents: Vec<DidId> = parents[at].iter().map(|((_, parent), _)| *parent).collect();
                if let Some(supposed) = &self.supposed {
                    own = supposed.own(ids[at].0, own);
                    supposed.parents(ids[at].0, &mut parents);
                }
                labels = self.below(own, &parents, &scope).await?;
            }
            let owner = self.owner(&record.account).await?;
            let traits = DidTraits { kind: record.kind(), owner, scope, labels };
            facts.push(DidFacts { did: record.did(), traits });
        }
        Ok(facts)
    }

    /// The facts of a DID as they would be if `parent` held it as well.
    pub async fn below_also(&mut self, facts: &DidFacts, parent: DidId) -> Result<DidFacts, CatalogError> {
        let above = self.holder(parent).await?;
        let labels = self.one(facts.traits.labels.join(&above));
        Ok(DidFacts { did: facts.did.clone(), traits: DidTraits { labels, ..facts.traits.clone() } })
    }

    /// Labels below parents, and in a scope.
    async fn below(
        &mut self,
        mut labels: LabelSet,
        parents: &[DidId],
        scope: &ScopeFacts,
    ) -> Result<Arc<LabelSet>, CatalogError> {
        for parent in parents {
            let above = self.holder(*parent).await?;
            labels = labels.join(&above);
        }
        Ok(self.one(labels.join(&scope.labels)))
    }

    /// The labels that something hands on to what it holds: its own, and those of all that holds it. A
    /// scope's labels are for what is named in it, and are not handed on: who owns a scope has no say in
    /// what others named elsewhere.
    pub async fn holder(&mut self, id: DidId) -> Result<Arc<LabelSet>, CatalogError> {
        if let Some(known) = self.above.get(&id) {
            return Ok(Arc::clone(known));
        }
        let mut labels = LabelSet::default();
        match upward(&self.view, id, self.supposed.as_ref()).await? {
            None => labels = strictest(),
            Some(all) => {
                let keys: Vec<_> = all.iter().map(|id| (*id,)).collect();
                let own = self.view.get_many::<DidLabels>(&keys).await?;
                for (id, own) in all.iter().zip(own) {
                    let own = self.set(own).await?;
                    labels = labels.join(&match &self.supposed {
                        Some(supposed) => supposed.own(*id, own),
                        None => own,
                    });
                }
            }
        }
        let labels = self.one(labels);
        self.above.insert(id, Arc::clone(&labels));
        Ok(labels)
    }
}
