//! History: what happened to a DID, as far as whoever asks may know it.

use std::collections::BTreeMap;

use crate::catalog::history;
use crate::catalog::record::{Happening, HistoryRecord, Several};
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::model::id::EndpointId;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::Paging;
use crate::service::sight::{Seen, Sight};
use crate::service::view::{HistoryView, Page};

/// How many entries are read together.
const ROWS: usize = 200;

/// Lists what happened to a DID, oldest first. Members are named, and of acts on members there is word at
/// all, only where that tells of nothing hidden: who may write the DID hears of all of them, others of
/// those acts whose example they see.
pub async fn list(ctx: &Context, did: &Did, paging: Paging) -> Result<Page<HistoryView>, ServiceError> {
    let limit = paging.limit()?;
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (seen, _) = sight.did_for(Action::Discover, did).await?;
    // A place that could be read would count what is not told.
    let after = ctx.place(seen.id, &paging)?;
    let endpoints = sight.endpoints().await?.into_iter().map(|one| (one.id, one.name)).collect();
    let knows_all = sight.knows_all(&seen);
    let mut telling = Telling { sight, knows_all, endpoints };
    let mut items = Vec::new();
    if after.is_none() {
        items.push(created(&seen));
    }
    let mut after = after.unwrap_or(0);
    while items.len() < limit {
        let rows = history::read(&view, seen.id, after, ROWS).await?;
        let is_end = rows.len() < ROWS;
        for ((_, seq), record) in rows {
            after = seq;
            items.extend(telling.tell(record).await?);
            if items.len() == limit {
                return Ok(Page { items, next: ctx.cursor(seen.id, Some(after)) });
            }
        }
        if is_end {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: ctx.cursor(seen.id, Some(after)) })
}

/// How every history begins; kept with the DID itself.
fn created(of: &Seen) -> HistoryView {
    let account = Some(of.record.account.clone());
    HistoryView { account, ..entry(of.record.created_at, "created") }
}

fn entry(at: crate::model::time::Timestamp, what: &str) -> HistoryView {
    let what = what.to_owned();
    HistoryView { at, account: None, what, count: None, did: None, endpoint: None, rule: None, labels: Vec::new() }
}

/// Who is told.
struct Telling {
    sight: Sight,
    knows_all: bool,
    endpoints: BTreeMap<EndpointId, EndpointName>,
}

impl Telling {
    async fn tell(&mut self, record: HistoryRecord) -> Result<Option<HistoryView>, ServiceError> {
        let told = HistoryView { account: record.account, ..entry(record.at, word(&record.what)) };
        Ok(match record.what {
            Happening::Attached(several) | Happening::Detached(several) => self.several(told, several).await?,
            Happening::ReplicasBad(at, several) => match self.endpoints.get(&at).cloned() {
                Some(at) => self.several(HistoryView { endpoint: Some(at), ..told }, several).await?,
                None => None,
            },
            Happening::Labelled(labels) => Some(HistoryView { labels, ..told }),
            Happening::RuleMade(rule)
            | Happening::RuleChanged(rule)
            | Happening::RuleRemoved(rule)
            | Happening::RuleExpired(rule) => Some(HistoryView { rule: Some(rule), ..told }),
            Happening::Closed | Happening::Reopened => Some(told),
        })
    }

    async fn several(&mut self, told: HistoryView, several: Several) -> Result<Option<HistoryView>, ServiceError> {
        let did = self.sight.by_id(several.first).await?.map(|seen| seen.record.did());
        if !self.knows_all && did.is_none() {
            return Ok(None);
        }
        Ok(Some(HistoryView { did, count: self.knows_all.then_some(several.count), ..told }))
    }
}

fn word(what: &Happening) -> &'static str {
    match what {
        Happening::Attached(_) => "attached",
        Happening::Detached(_) => "detached",
        Happening::Labelled(_) => "labelled",
        Happening::Closed => "closed",
        Happening::Reopened => "reopened",
        Happening::RuleMade(_) => "rule_made",
        Happening::RuleChanged(_) => "rule_changed",
        Happening::RuleRemoved(_) => "rule_removed",
        Happening::RuleExpired(_) => "rule_expired",
        Happening::ReplicasBad(..) => "replicas_bad",
    }
}
