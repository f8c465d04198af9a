//! What lies below a change of labels: members take on the labels of what holds them, so nobody may
//! hide, or open, what is not theirs by labelling, attaching or detaching something of their own.
//!
//! Each member is judged by what becomes of its own labels, before and after. Whatever hands on the same
//! labels as before is not entered, so that the work is that of what changes.

use std::collections::BTreeSet;

use crate::catalog::labels::{self, Gatherer, Supposed};
use crate::catalog::record::{ContentRecord, Contents, DidRecord, Dids, Heads};
use crate::catalog::{CatalogError, View};
use crate::model::did::{Did, DidKind};
use crate::model::facts::{DidFacts, Resource};
use crate::model::id::DidId;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::labels::needed;
use crate::service::sight::{Seen, Sight};

/// The most members that are looked through for one in which whoever labels their holder has no say.
const MEMBERS_MAX: usize = 500_000;
/// The code of the refusal of what was looked at and has changed since.
pub(in crate::service) const MEMBERS_CHANGED: &str = "members-changed";
/// How many members are looked at together.
const PAGE: usize = 1_000;

/// What was looked at, and how it was then.
#[derive(Debug, Clone, Default)]
pub(in crate::service) struct Looked {
    labels: u64,
    /// Holders that were entered, each with the place of its next member.
    entered: Vec<(DidId, Option<u64>)>,
}

/// Asks for a say in everything below some DIDs whose labels a change would change: to write it where
/// they only tighten, to relabel it otherwise.
pub(in crate::service) async fn permit(
    ctx: &Context,
    view: &View,
    tops: &[&Seen],
    change: Supposed,
) -> Result<Looked, ServiceError> {
    let mut open: Vec<DidId> = tops.iter().filter(|top| top.record.kind() != DidKind::File).map(|top| top.id).collect();
    if open.is_empty() || ctx.permit(Action::Administer, "the lake").is_ok() {
        return Ok(Looked::default());
    }
    let mut looking = Looking {
        sight: ctx.sight(view),
        after: Gatherer::supposing(view, change),
        of: tops[0].facts.did.clone(),
        looked: Looked { labels: labels::revision(view).await?, entered: Vec::new() },
        members: 0,
    };
    let mut known: BTreeSet<DidId> = open.iter().copied().collect();
    while let Some(holder) = open.pop() {
        let before = looking.sight.gatherer().holder(holder).await?;
        if before == looking.after.holder(holder).await? {
            continue;
        }
        let head = view.get::<Heads>(&(holder,)).await?.map(|head| head.next_seq);
        looking.looked.entered.push((holder, head));
        let holders = looking.enter(holder).await?;
        open.extend(holders.into_iter().filter(|one| known.insert(*one)));
    }
    Ok(looking.looked)
}

struct Looking {
    sight: Sight,
    after: Gatherer,
    of: Did,
    looked: Looked,
    members: usize,
}

impl Looking {
    /// Looks at the members of a holder, and returns those that are holders themselves.
    async fn enter(&mut self, holder: DidId) -> Result<Vec<DidId>, ServiceError> {
        let view = self.sight.view().clone();
        let (mut holders, mut after) = (Vec::new(), None);
        loop {
            let rows = match after {
                None => view.scan::<Contents>(&(holder,), PAGE).await?,
                Some(seq) => view.scan_after::<Contents>(&(holder,), &(holder, seq), PAGE).await?,
            };
            let Some(((_, last), _)) = rows.last() else { return Ok(holders) };
            after = Some(*last);
            let is_end = rows.len() < PAGE;
            let members = rows.into_iter().filter_map(|(_, content)| match content {
                ContentRecord::Member(child) => Some((child,)),
                ContentRecord::Detached(_) => None,
            });
            let ids: Vec<(DidId,)> = members.collect();
            let records = view.get_run::<Dids>(&ids).await?;
            let there: Vec<_> = ids.into_iter().zip(records).filter_map(|((id,), one)| Some((id, one?))).collect();
            self.judge(&there).await?;
            holders.extend(there.iter().filter(|(_, one)| one.kind() != DidKind::File).map(|(id, _)| *id));
            if is_end {
                return Ok(holders);
            }
        }
    }

    /// What is hidden is nothing in which whoever asks has a say; where it stays as it is, it is not
    /// told of.
    async fn judge(&mut self, members: &[(DidId, DidRecord)]) -> Result<(), ServiceError> {
        self.members += members.len();
        if self.members > MEMBERS_MAX {
            return Err(too_many());
        }
        let asked: Vec<(DidId, &DidRecord)> = members.iter().map(|(id, record)| (*id, record)).collect();
        let before = self.sight.gatherer().dids(&asked).await?;
        let after = self.after.dids(&asked).await?;
        for (before, after) in before.into_iter().zip(after) {
            if let Some(action) = asks_for(&before, &after) {
                let resource = Resource::Did(before);
                if !self.sight.sees(&resource) || !self.sight.decide(action, &resource, None).allows() {
                    let resource = format!("everything in {}", self.of);
                    return Err(ServiceError::Denied { action: action.name(), resource });
                }
            }
        }
        Ok(())
    }
}

/// What a change of labels asks for, if it is one.
pub(in crate::service) fn asks_for(before: &DidFacts, after: &DidFacts) -> Option<Action> {
    let (old, new) = (&before.traits.labels, &after.traits.labels);
    (old != new).then(|| needed(old, new))
}

fn too_many() -> ServiceError {
    ServiceError::Conflict {
        code: "too-many-members",
        detail: format!("over {MEMBERS_MAX} members would have to be looked through"),
        hint: Some("ask an admin, or label what is in it, or its scope".to_owned()),
    }
}

impl Looked {
    /// Takes in what was looked at in the same view besides.
    pub(in crate::service) fn add(&mut self, more: Self) {
        if !more.entered.is_empty() {
            self.labels = more.labels;
            self.entered.extend(more.entered);
        }
    }

    /// Fails if what was looked at has changed since, in the transaction that makes the change.
    pub(in crate::service) async fn still_holds(&self, view: &View, of: &Did) -> Result<(), ServiceError> {
        if self.entered.is_empty() || self.is_as_it_was(view).await? {
            return Ok(());
        }
        Err(ServiceError::Conflict {
            code: MEMBERS_CHANGED,
            detail: format!("members of `{of}`, or labels, changed at the same time"),
            hint: Some("try again".to_owned()),
        })
    }

    async fn is_as_it_was(&self, view: &View) -> Result<bool, CatalogError> {
        if labels::revision(view).await? != self.labels {
            return Ok(false);
        }
        for page in self.entered.chunks(PAGE) {
            let keys: Vec<_> = page.iter().map(|(id, _)| (*id,)).collect();
            let heads = view.get_many::<Heads>(&keys).await?;
            let now = heads.into_iter().map(|head| head.map(|head| head.next_seq));
            if now.zip(page).any(|(now, (_, then))| now != *then) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
