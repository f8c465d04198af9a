//! Explains a rule: where its copies are, what keeps it from being satisfied, and what would help,
//! as commands to paste.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::record::{
    ChosenBecause, IntentAct, Intents, Locks, Parents, PlacementRecord, Placements, Ready, RuleRecord, Transfers,
    Unplaced,
};
use crate::model::did::Did;
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::expression::Expression;
use crate::model::id::{DidId, EndpointId, RuleId, TransferId};
use crate::model::lock::LockState;
use crate::model::rule::{Grouping, RuleState};
use crate::model::shell::quoted;
use crate::model::stuck::StuckReason;
use crate::model::time::Timestamp;
use crate::model::transfer::TransferState;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::progress::{Counter, SeenLock, stuck_files};
use crate::service::rules::{LOCKS_MAX, to_view};
use crate::service::sight::{Seen, Sight};
use crate::service::view::{ExpressionPart, LockExplanation, Problem, RuleExplanation, RuleView};
use crate::storage::health::Health;

/// How many locks an explanation shows.
const LOCKS_SHOWN: usize = 100;
/// How many files each cause is counted over.
const FILES_MAX: usize = 1_000;
/// How many waiting transfers of an endpoint are looked through for failing ones.
const WAITING_MAX: usize = 500;

/// Explains a rule.
pub async fn explain(ctx: &Context, id: RuleId) -> Result<RuleExplanation, ServiceError> {
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (record, seen) = sight.rule(id).await?;
    sight.permit(Action::Discover, &seen.resource(), None)?;
    let endpoints = sight.endpoints().await?;
    let matched: Vec<ExpressionPart> = record
        .expression
        .explain(&endpoints)
        .into_iter()
        .map(|(part, endpoints)| ExpressionPart { part, endpoints })
        .collect();
    let mut causes = Causes::at(&endpoints);
    unplaced(&mut sight, id, &record, &mut causes).await?;
    let asked = Asked { ctx, endpoints: &endpoints, health: ctx.lake.stores.health() };
    let mut counter = Counter::default();
    let locks = locks(&asked, &mut sight, &mut counter, id, &record, &mut causes).await?;
    let rule = to_view(&mut sight, &mut counter, id, record.clone(), &seen).await?;
    let problems = causes.into_problems(&asked, &rule, &matched);
    Ok(RuleExplanation { summary: summary(&rule, &problems), rule, matched, locks, problems })
}

/// What an explanation is drawn from.
struct Asked<'a> {
    ctx: &'a Context,
    endpoints: &'a [Endpoint],
    health: &'a Health,
}

impl Asked<'_> {
    /// What the endpoint said that a reason is about, if it still ails. It may name any file, so it is
    /// for who looks after the endpoint.
    fn said(&self, reason: &StuckReason) -> Option<String> {
        let endpoint = self.endpoints.iter().find(|endpoint| Some(&endpoint.name) == reason.endpoint())?;
        self.ctx.permit_endpoint(Action::Administer, endpoint).ok()?;
        self.health.ailment(endpoint.id).map(|ailment| ailment.said)
    }
}

fn summary(rule: &RuleView, problems: &[Problem]) -> String {
    let files = match rule.files_wanted {
        0 => "nothing is placed yet".to_owned(),
        wanted => format!("{} of {wanted} file copies are there", rule.files_done),
    };
    match (rule.state, problems.first()) {
        (RuleState::Ok, _) if rule.files_wanted == 0 => "satisfied: there are no files yet".to_owned(),
        (RuleState::Ok, _) => format!("satisfied: {files}"),
        (RuleState::Releasing, _) => "ended: its locks are being let go".to_owned(),
        (RuleState::Stuck, Some(problem)) => format!("stuck: {}; {files}", problem.reason),
        (RuleState::Stuck, None) => format!("stuck; {files}"),
        (RuleState::Replicating, Some(problem)) => format!("under way, with trouble: {}; {files}", problem.reason),
        (RuleState::Replicating, None) => format!("under way: {files}"),
    }
}

/// Reasons met so far, with how many files or units each keeps back. Only what is seen is told of, and
/// nothing that would name an endpoint that is hidden.
struct Causes {
    met: BTreeMap<String, Cause>,
    seen: BTreeSet<EndpointName>,
}

struct Cause {
    reason: StuckReason,
    words: String,
    count: u64,
    example: Did,
    next: Option<Timestamp>,
}

impl Causes {
    fn at(endpoints: &[Endpoint]) -> Self {
        Self { met: BTreeMap::new(), seen: endpoints.iter().map(|one| one.name.clone()).collect() }
    }

    fn add(&mut self, reason: &StuckReason, what: &Seen, next: Option<Timestamp>) {
        self.put(reason, reason.to_string(), what, next);
    }

    fn put(&mut self, reason: &StuckReason, words: String, what: &Seen, next: Option<Timestamp>) {
        if reason.names().is_some_and(|endpoint| !self.seen.contains(endpoint)) {
            return;
        }
        // Each file has its own checksums: one cause per source, not per file.
        let key = match reason {
            StuckReason::ChecksumMismatch { source, .. } => format!("{} {source}", reason.code()),
            _ => words.clone(),
        };
        let fresh = || Cause { reason: reason.clone(), words, count: 0, example: what.facts.did.clone(), next: None };
        let cause = self.met.entry(key).or_insert_with(fresh);
        cause.count += 1;
        cause.next = [cause.next, next].into_iter().flatten().min();
    }

    /// Adds what ails an endpoint unless it is there, without what the endpoint said.
    fn make_known(&mut self, reason: &StuckReason, what: &Seen) {
        let words = match reason {
            StuckReason::EndpointFaulty { endpoint, .. } => {
                format!("{endpoint} answers, but does not do as it is asked")
            }
            StuckReason::EndpointMisconfigured { endpoint, .. } => format!("{endpoint} is not set up right"),
            StuckReason::NameRefused { endpoint, .. } | StuckReason::FileRefused { endpoint, .. } => {
                format!("{endpoint} refuses a file")
            }
            StuckReason::ChecksumMismatch { source, .. } => format!("bytes from {source} are wrong"),
            _ => reason.to_string(),
        };
        if self
            .met
            .values()
            .all(|cause| cause.reason.code() != reason.code() || cause.reason.endpoint() != reason.endpoint())
        {
            self.put(reason, words, what, None);
        }
    }

    fn into_problems(self, asked: &Asked<'_>, rule: &RuleView, matched: &[ExpressionPart]) -> Vec<Problem> {
        let problem = |cause: Cause| Problem {
            code: cause.reason.code().to_owned(),
            said: asked.said(&cause.reason),
            count: cause.count,
            help: help(&cause.reason, rule, (matched, asked.endpoints), &cause.example),
            reason: cause.words,
            example: Some(cause.example),
            next_attempt_at: cause.next,
        };
        let mut problems: Vec<Problem> = self.met.into_values().map(problem).collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.count));
        problems
    }
}

async fn unplaced(sight: &mut Sight, id: RuleId, rule: &RuleRecord, causes: &mut Causes) -> Result<(), ServiceError> {
    let view = sight.view().clone();
    let groups: Vec<_> = view.scan::<Unplaced>(&(id,), FILES_MAX).await?.into_iter().map(|(key, ())| key).collect();
    let placements = view.get_many::<Placements>(&groups).await?;
    let seen = sight.by_ids(groups.iter().map(|(_, group)| *group)).await?;
    for ((_, group), placement) in groups.iter().zip(placements) {
        let Some(reason) = placement.and_then(|placement| placement.unplaced) else { continue };
        let Some(seen) = seen.get(group) else { continue };
        match &reason {
            // How much a group needs tells of its hidden files, and how much is held of the account.
            StuckReason::QuotaExceeded { account, on, .. } if !knows_quota(sight, rule, seen) => {
                let words = format!("{account} may not hold so much at `{on}`");
                let (account, on) = (account.clone(), on.clone());
                let numberless = StuckReason::QuotaExceeded { account, on, needed: 0, used: 0, limit: 0 };
                causes.put(&numberless, words, seen, None);
            }
            _ => causes.add(&reason, seen, None),
        }
    }
    Ok(())
}

fn knows_quota(sight: &Sight, rule: &RuleRecord, of: &Seen) -> bool {
    sight.is_whole() || (sight.subject().is_or_is_in(&rule.account) && sight.knows_all(of))
}

async fn locks(
    asked: &Asked<'_>,
    sight: &mut Sight,
    counter: &mut Counter,
    id: RuleId,
    rule: &RuleRecord,
    causes: &mut Causes,
) -> Result<Vec<LockExplanation>, ServiceError> {
    let (view, mut shown) = (sight.view().clone(), Vec::new());
    let rows = view.scan::<Locks>(&(id,), LOCKS_MAX).await?;
    // What is hidden is not there.
    let locks = counter.locks(sight, rows).await?.into_iter().filter_map(|lock| {
        let endpoint = asked.endpoints.iter().find(|known| known.id == lock.endpoint)?;
        Some((lock, endpoint))
    });
    let locks: Vec<(SeenLock, &Endpoint)> = locks.collect();
    let groups =
        locks.iter().map(|(lock, _)| (id, if rule.grouping == Grouping::All { rule.did } else { lock.unit.id }));
    let placements = view.get_many::<Placements>(&groups.collect::<Vec<_>>()).await?;
    for ((lock, endpoint), placement) in locks.into_iter().zip(placements) {
        let (urgency, state) = match &lock.state {
            LockState::Stuck { .. } => (0, "stuck"),
            LockState::Replicating => (1, "replicating"),
            LockState::Ok => (2, "ok"),
        };
        if urgency < 2 {
            trouble(sight, lock.unit.id, endpoint.id, causes).await?;
            failing(sight, lock.unit.id, endpoint.id, causes).await?;
            // Transfers to an endpoint that is left alone have not been tried, and know of nothing.
            if let Some(ailment) = asked.health.ailment(endpoint.id) {
                causes.make_known(&ailment.reason, &lock.unit);
            }
        }
        let files = lock.files.unwrap_or_default();
        shown.push((
            urgency,
            LockExplanation {
                did: lock.unit.facts.did,
                endpoint: endpoint.name.clone(),
                state: state.to_owned(),
                files_done: files.done,
                files_wanted: files.wanted,
                chosen: because(placement.as_ref(), endpoint.id).to_owned(),
            },
        ));
    }
    shown.sort_by_key(|(urgency, _)| *urgency);
    Ok(shown.into_iter().take(LOCKS_SHOWN).map(|(_, lock)| lock).collect())
}

async fn trouble(
    sight: &mut Sight,
    unit: DidId,
    endpoint: EndpointId,
    causes: &mut Causes,
) -> Result<(), ServiceError> {
    let files = stuck_files(sight, unit, endpoint).await?;
    let view = sight.view();
    let keys: Vec<_> = files.iter().map(|(file, _)| (file.id, endpoint)).collect();
    let intents = view.get_many::<Intents>(&keys).await?;
    let ids: Vec<Option<TransferId>> = intents
        .into_iter()
        .map(|intent| match intent?.act {
            IntentAct::Transfer(id) => Some(id),
            IntentAct::Upload { .. } => None,
        })
        .collect();
    let under_way: Vec<_> = ids.iter().flatten().map(|id| (*id,)).collect();
    let mut transfers = view.get_many::<Transfers>(&under_way).await?.into_iter();
    for ((file, reason), id) in files.into_iter().zip(ids) {
        let transfer = id.and_then(|_| transfers.next().flatten());
        causes.add(&reason, &file, transfer.and_then(|transfer| next_attempt(&transfer.state)));
    }
    Ok(())
}

/// Transfers of a unit that have failed and wait for another attempt: not stuck yet, but a person
/// who asks wants to know.
async fn failing(
    sight: &mut Sight,
    unit: DidId,
    endpoint: EndpointId,
    causes: &mut Causes,
) -> Result<(), ServiceError> {
    let view = sight.view().clone();
    let ready = view.scan::<Ready>(&(endpoint,), WAITING_MAX).await?;
    let ids: Vec<_> = ready.into_iter().map(|((_, _, id), ())| (id,)).collect();
    let transfers = view.get_many::<Transfers>(&ids).await?.into_iter().flatten();
    let failed = transfers.filter_map(|transfer| match &transfer.state {
        TransferState::Waiting { last: Some(reason), .. } if !transfer.told => {
            Some((transfer.file, reason.clone(), next_attempt(&transfer.state)))
        }
        _ => None,
    });
    let failed: Vec<_> = failed.collect();
    let of_unit: Vec<_> = failed.iter().map(|(file, ..)| (*file, unit)).collect();
    let of_unit = view.get_many::<Parents>(&of_unit).await?;
    let failed = failed.into_iter().zip(of_unit).filter(|((file, ..), held)| *file == unit || held.is_some());
    let failed: Vec<_> = failed.map(|(failed, _)| failed).collect();
    let seen = sight.by_ids(failed.iter().map(|(file, ..)| *file)).await?;
    for (file, reason, next) in failed {
        if let Some(file) = seen.get(&file) {
            causes.add(&reason, file, next);
        }
    }
    Ok(())
}

fn next_attempt(state: &TransferState) -> Option<Timestamp> {
    match state {
        TransferState::Waiting { not_before, .. } => Some(*not_before),
        TransferState::Failed { retry_at, .. } => Some(*retry_at),
        TransferState::Running { .. } => None,
    }
}

fn because(placement: Option<&PlacementRecord>, endpoint: EndpointId) -> &'static str {
    let chosen = placement.and_then(|placement| placement.chosen.iter().find(|chosen| chosen.endpoint == endpoint));
    match chosen.map(|chosen| chosen.because) {
        Some(ChosenBecause::KeptPlace) => "chosen before and kept",
        Some(ChosenBecause::HadBytes) => "had some of the bytes already",
        Some(ChosenBecause::Spread) => "its turn",
        None => "no longer chosen",
    }
}

/// What would help against a reason, as commands to paste.
fn help(reason: &StuckReason, rule: &RuleView, asked: (&[ExpressionPart], &[Endpoint]), file: &Did) -> Vec<String> {
    let ((matched, endpoints), id, on) = (asked, rule.id, rule.expression.as_str());
    let file = quoted(&file.to_string());
    let retry = format!("dapple rule retry {id}");
    match reason {
        StuckReason::ExpressionMatchesNothing => vec![
            "dapple endpoint list".to_owned(),
            more_endpoints(matched, on),
            format!("dapple rule update {id} --on 'EXPRESSION'"),
        ],
        StuckReason::TooFewEndpoints { matching, .. } => {
            let fewer = (*matching > 0).then(|| format!("dapple rule update {id} --copies {matching}"));
            let more = more_endpoints(matched, on);
            [more].into_iter().chain(fewer).chain([format!("dapple rule update {id} --on 'EXPRESSION'")]).collect()
        }
        StuckReason::NoSource => vec![
            format!("dapple replica list {file}"),
            "dapple put TREE --to DATASET --endpoint NAME    # with the file".to_owned(),
        ],
        StuckReason::SourceUnreachable { endpoint } | StuckReason::EndpointUnreachable { endpoint } => {
            vec![format!("dapple endpoint probe {endpoint}    # is it mounted, up and reachable?"), retry]
        }
        StuckReason::EndpointFull { endpoint } => {
            let room = format!("dapple endpoint show {endpoint}    # make room there, then retry");
            [room, retry].into_iter().chain(elsewhere(id, on, endpoint, endpoints)).collect()
        }
        StuckReason::EndpointDenies { endpoint } => {
            vec![
                format!("dapple endpoint probe {endpoint}    # is its secret right? may it read and write there?"),
                format!("dapple endpoint set {endpoint} --secret-file FILE    # if the secret has changed"),
                retry,
            ]
        }
        StuckReason::ChecksumMismatch { source, .. } | StuckReason::SourceMissing { endpoint: source } => {
            vec![format!("dapple replica declare-bad {file} --at {source}")]
        }
        StuckReason::PathOccupied { endpoint } => {
            vec![format!("dapple endpoint show {endpoint}    # move what lies under the name of {file}"), retry]
        }
        StuckReason::EndpointFaulty { endpoint, .. } => {
            vec![format!("dapple endpoint probe {endpoint}    # what does it do, and what not?"), retry]
        }
        StuckReason::EndpointMisconfigured { endpoint, .. } => vec![
            format!("dapple endpoint set {endpoint} --region REGION    # or what else the reason says"),
            format!("dapple endpoint probe {endpoint}"),
            retry,
        ],
        StuckReason::NameRefused { endpoint, .. } | StuckReason::FileRefused { endpoint, .. } => {
            let elsewhere = elsewhere(id, on, endpoint, endpoints);
            let elsewhere = elsewhere.unwrap_or_else(|| format!("dapple rule update {id} --on 'EXPRESSION'"));
            vec![format!("{elsewhere}    # {file} needs another place")]
        }
        StuckReason::DeniedByPolicy { endpoint, .. } => vec![
            format!("dapple policy explain --as {} --action place {file} --at {endpoint}", rule.account),
            format!("dapple rule update {id} --on 'EXPRESSION'"),
        ],
        StuckReason::QuotaExceeded { account, on: limited, needed, used, .. } => {
            let bytes = needed.saturating_add(*used);
            let bytes = if bytes == 0 { "BYTES".to_owned() } else { bytes.to_string() };
            vec![
                format!("dapple account usage {account}    # what takes the room? a rule that ends gives it back"),
                format!("dapple account limit set {account} --on '{limited}' --bytes {bytes}"),
                format!("dapple rule update {id} --on 'EXPRESSION'    # where there is room"),
            ]
        }
    }
}

/// How a rule leaves an endpoint out, if that leaves it any other.
fn elsewhere(id: RuleId, on: &str, endpoint: &EndpointName, endpoints: &[Endpoint]) -> Option<String> {
    let others = format!("({on})\\{endpoint}");
    let left = Expression::parse(&others).ok()?.select(endpoints).len();
    (left > 0).then(|| format!("dapple rule update {id} --on '{others}'"))
}

/// How an endpoint comes to match: by the first attribute of the expression that none has, if that
/// can be told.
fn more_endpoints(matched: &[ExpressionPart], on: &str) -> String {
    let missing = matched.iter().find(|part| part.endpoints.is_empty() && part.part.contains('='));
    let attribute = missing.map_or("KEY=VALUE", |part| part.part.as_str());
    format!("dapple endpoint set NAME --attr {attribute}    # or `endpoint add`, so that one more matches `{on}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoint::{EndpointKind, Settings};
    use crate::model::time::Timestamp;

    #[test]
    fn no_expression_is_suggested_that_matches_nothing() {
        let endpoint = |number, name: &str| Endpoint {
            id: EndpointId(number),
            name: EndpointName::parse(name).expect("valid"),
            kind: EndpointKind::Memory,
            location: String::new(),
            attributes: BTreeMap::new(),
            settings: Settings::default(),
            secret: None,
            probe: None,
            created_at: Timestamp::default(),
        };
        let endpoints = [endpoint(1, "px1"), endpoint(2, "px2")];
        let other = |on| elsewhere(RuleId(7), on, &endpoints[1].name, &endpoints);
        assert_eq!(other("px2"), None);
        let command = format!("dapple rule update {} --on '(px1|px2)\\px2'", RuleId(7));
        assert_eq!(other("px1|px2"), Some(command));
    }
}
