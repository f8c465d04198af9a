//! Follows what places are decided by: policies, labels, attributes of endpoints, groups and rights of
//! accounts, owners of scopes. When one of them changes, a pass over all rules sets those to be placed
//! anew whose data may not be where it is any more.
//!
//! A pass costs a look at each rule, and a placing of those that are concerned. Its cursor is in the
//! catalog: it goes on where it was broken off. What changes meanwhile waits for the next pass.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::ledger::ancestors::upward;
use crate::catalog::placing::begin;
use crate::catalog::record::placing::{CauseRecord, PassRecord};
use crate::catalog::record::{
    ContentRecord, Contents, DidRecord, Dids, Facts, Parents, PlacingCauses, PlacingPass, RuleRecord, Rules, Scopes,
};
use crate::catalog::{Catalog, CatalogError, View, endpoints, placing, subjects};
use crate::model::account::AccountName;
use crate::model::did::DidKind;
use crate::model::endpoint::Endpoint;
use crate::model::id::{DidId, RuleId};
use crate::model::rule::Grouping;
use crate::model::scope::Scope;
use crate::policy::judge::Judge;
use crate::rules::Progress;

/// How many rules one transaction looks at.
const PAGE: usize = 100;
/// How many pages one step looks through for a rule that is concerned.
const PAGES: usize = 20;
/// How many changes one pass takes account of.
const CAUSES: usize = 500;

/// How many files of datasets with other labels are walked up from.
const FILES: usize = 1_000;
/// In fewer datasets than this each of them is, or nobody looks further.
const HOLDERS: usize = 100;

/// The row of the pass: there is one at a time.
const PASS: (u8,) = (1,);
/// The revision of the policies under which all rules were placed last.
const PLACED_POLICIES: &str = "placed_policies";
/// The same of labels that may concern any rule.
const PLACED_LABELS: &str = "placed_labels";

/// Goes on with the pass that is under way, or begins one if something has changed.
pub async fn step(catalog: &Catalog, judge: &Judge) -> Result<Progress, CatalogError> {
    let view = catalog.view().await?;
    let Some(pass) = view.get::<PlacingPass>(&PASS).await? else {
        return begin_pass(catalog, &view, judge).await;
    };
    let concern = Concern::read(&view, judge, &pass).await?;
    go_on(catalog, &view, pass, concern).await?;
    Ok(Progress::Made)
}

async fn begin_pass(catalog: &Catalog, view: &View, judge: &Judge) -> Result<Progress, CatalogError> {
    // Revisions are 16 hexadecimal digits.
    let policies = u64::from_str_radix(judge.set().revision(), 16).unwrap_or(u64::MAX);
    let labels = placing::revision(view).await?;
    let mut every = false;
    for (name, now) in [(PLACED_POLICIES, policies), (PLACED_LABELS, labels)] {
        every = every || view.get::<Facts>(&(name.to_owned(),)).await? != Some(now);
    }
    let rows = view.scan::<PlacingCauses>(&(), CAUSES).await?;
    if !every && rows.is_empty() {
        return Ok(Progress::Nothing);
    }
    // By name, and not up to the last: what was told by a transaction that began earlier and ends
    // later sorts before it.
    let causes = rows.into_iter().map(|((id,), _)| id).collect();
    let pass = PassRecord { policies, labels, every, causes, after: None };
    catalog
        .transact_bulk(move |txn| {
            let pass = pass.clone();
            async move {
                if txn.get::<PlacingPass>(&PASS).await?.is_none() {
                    txn.put::<PlacingPass>(&PASS, &pass);
                }
                Ok::<_, CatalogError>(())
            }
        })
        .await?;
    Ok(Progress::Made)
}

/// Looks at rules until some are concerned, or for a while; sets those to be placed anew, and moves the
/// pass on with that.
async fn go_on(catalog: &Catalog, view: &View, pass: PassRecord, mut concern: Concern) -> Result<(), CatalogError> {
    let (mut after, mut found) = (pass.after, Vec::new());
    for _ in 0..PAGES {
        let rows = view.scan_after::<Rules>(&(), &(after.unwrap_or(RuleId(0)),), PAGE).await?;
        after = rows.last().map(|((id,), _)| *id);
        for ((id,), rule) in rows {
            if !rule.releasing && concern.is_of(view, &rule).await? {
                found.push((id, rule.did));
            }
        }
        if after.is_none() || !found.is_empty() {
            break;
        }
    }
    catalog
        .transact_bulk(move |txn| {
            let (pass, found) = (pass.clone(), found.clone());
            async move {
                if txn.get::<PlacingPass>(&PASS).await?.as_ref() != Some(&pass) {
                    return Ok(());
                }
                for (id, did) in found {
                    if txn.get::<Rules>(&(id,)).await?.is_some_and(|rule| !rule.releasing) {
                        begin(&txn, id, did).await?;
                    }
                }
                if after.is_some() {
                    txn.put::<PlacingPass>(&PASS, &PassRecord { after, ..pass });
                    return Ok(());
                }
                txn.clear::<PlacingPass>(&PASS);
                for id in &pass.causes {
                    txn.clear::<PlacingCauses>(&(*id,));
                }
                for (name, value) in [(PLACED_POLICIES, pass.policies), (PLACED_LABELS, pass.labels)] {
                    txn.put::<Facts>(&(name.to_owned(),), &value);
                }
                Ok::<_, CatalogError>(())
            }
        })
        .await
}

/// Which rules a pass is about.
#[derive(Default)]
struct Concern {
    every: bool,
    /// Endpoints as they were.
    endpoints: Vec<Endpoint>,
    accounts: BTreeSet<AccountName>,
    scopes: BTreeSet<Scope>,
    datasets: BTreeSet<DidId>,
    /// Policies know groups and rights of owners, so that these accounts concern the data that is theirs.
    by_owner: bool,
    /// What holds files of the datasets, once that was asked.
    above: Option<Above>,
    /// Whether an account is one of them, or in one.
    known: BTreeMap<AccountName, bool>,
}

impl Concern {
    async fn read(view: &View, judge: &Judge, pass: &PassRecord) -> Result<Self, CatalogError> {
        // Other policies than these come with a pass over every rule.
        let by_owner = judge.set().knows_owners();
        let mut concern = Self { every: pass.every, by_owner, ..Self::default() };
        let keys: Vec<_> = pass.causes.iter().map(|id| (*id,)).collect();
        for cause in view.get_many::<PlacingCauses>(&keys).await?.into_iter().flatten() {
            match cause {
                CauseRecord::Endpoint { id, before } => {
                    let now = endpoints::by_id(view, id).await?;
                    concern.endpoints.extend(now.map(|now| Endpoint { attributes: before, ..now }));
                }
                CauseRecord::Account(account) => drop(concern.accounts.insert(account)),
                CauseRecord::Scope(scope) => drop(concern.scopes.insert(scope)),
                CauseRecord::Files(dataset) => drop(concern.datasets.insert(dataset)),
            }
        }
        Ok(concern)
    }

    async fn is_of(&mut self, view: &View, rule: &RuleRecord) -> Result<bool, CatalogError> {
        // Where it matches only now, nothing lies yet; groups that found no place are looked at anyway.
        if self.every || !rule.expression.select(&self.endpoints).is_empty() {
            return Ok(true);
        }
        Ok(self.is_account(view, &rule.account).await? || self.is_data(view, rule).await?)
    }

    async fn is_account(&mut self, view: &View, account: &AccountName) -> Result<bool, CatalogError> {
        if self.accounts.is_empty() {
            return Ok(false);
        }
        if let Some(known) = self.known.get(account) {
            return Ok(*known);
        }
        let is_in = !subjects::groups(view, account).await?.is_disjoint(&self.accounts);
        let concerned = is_in || self.accounts.contains(account);
        self.known.insert(account.clone(), concerned);
        Ok(concerned)
    }

    /// Whether data, or the scope that it is in, belongs to one of the accounts.
    async fn is_theirs(&mut self, view: &View, record: &DidRecord) -> Result<bool, CatalogError> {
        if self.is_account(view, &record.account).await? {
            return Ok(true);
        }
        match view.get::<Scopes>(&(record.scope.to_string(),)).await? {
            Some(scope) => self.is_account(view, &scope.account).await,
            None => Ok(false),
        }
    }

    /// Whether a DID holds files of one of the datasets, or may do so.
    async fn is_above(&mut self, view: &View, did: DidId) -> Result<bool, CatalogError> {
        if self.datasets.is_empty() {
            return Ok(false);
        }
        if self.above.is_none() {
            self.above = Some(Above::read(view, &self.datasets).await?);
        }
        Ok(match &self.above {
            Some(Above::These(above)) => above.contains(&did),
            Some(Above::Many) | None => true,
        })
    }

    /// Where other datasets are below, nothing short of the whole walk tells whether the data is concerned by
    /// scopes and accounts; where each file has a place of its own, files with other labels are walked up from.
    async fn is_data(&mut self, view: &View, rule: &RuleRecord) -> Result<bool, CatalogError> {
        let by_owner = self.by_owner && !self.accounts.is_empty();
        if !by_owner && self.scopes.is_empty() && self.datasets.is_empty() {
            return Ok(false);
        }
        let Some(record) = view.get::<Dids>(&(rule.did,)).await? else {
            return Ok(false);
        };
        if self.scopes.contains(&record.scope) || (by_owner && self.is_theirs(view, &record).await?) {
            return Ok(true);
        }
        let by_file = rule.grouping == Grouping::None && record.kind() != DidKind::File;
        if by_file || record.kind() == DidKind::Container {
            // What is below may be in any scope, and anybody's.
            let is_any = by_owner || !self.scopes.is_empty();
            return Ok(is_any || (by_file && self.is_above(view, rule.did).await?));
        }
        match record.kind() {
            DidKind::Container | DidKind::Dataset => Ok(false),
            DidKind::File => {
                for dataset in &self.datasets {
                    if view.get::<Parents>(&(rule.did, *dataset)).await?.is_some() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

/// What holds files of some datasets.
enum Above {
    /// All that does, directly or not.
    These(BTreeSet<DidId>),
    /// The files are too many to walk up from.
    Many,
}

impl Above {
    /// The files may be in other datasets as well, and some have left these.
    async fn read(view: &View, datasets: &BTreeSet<DidId>) -> Result<Self, CatalogError> {
        let (mut left, mut files) = (FILES, BTreeSet::new());
        for dataset in datasets {
            let rows = view.scan::<Contents>(&(*dataset,), left + 1).await?;
            let Some(rest) = left.checked_sub(rows.len()) else { return Ok(Above::Many) };
            left = rest;
            files.extend(rows.into_iter().map(|(_, content)| match content {
                ContentRecord::Member(file) | ContentRecord::Detached(file) => (file,),
            }));
        }
        let keys: Vec<_> = files.into_iter().collect();
        let mut holders = datasets.clone();
        for rows in view.scan_many::<Parents>(&keys, HOLDERS).await? {
            if rows.len() == HOLDERS {
                return Ok(Above::Many);
            }
            holders.extend(rows.into_iter().map(|((_, holder), _)| holder));
        }
        let mut above = BTreeSet::new();
        for holder in holders {
            if !above.contains(&holder) {
                above.extend(upward(view, holder).await?);
            }
        }
        Ok(Above::These(above))
    }
}

#[cfg(test)]
mod tests;
