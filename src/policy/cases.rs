//! Tests of policies: tables of facts, and of questions with the answers that are expected. They
//! stand beside the policies and are run by `dapple policy check`, so that a change of a policy
//! that lets somebody in by mistake is seen before it is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use crate::model::account::{AccountKind, AccountName};
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::EndpointName;
use crate::model::facts::{DidFacts, DidTraits, EndpointFacts, Resource, ScopeFacts, Subject};
use crate::model::label::{LabelChange, LabelSet};
use crate::model::scope::Scope;
use crate::model::time::Timestamp;
use crate::policy::decision::{Action, Effect, Question};
use crate::policy::judge::Judge;
use crate::policy::set::{Flaw, line_of};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    accounts: BTreeMap<String, Account>,
    #[serde(default)]
    scopes: BTreeMap<String, Owned>,
    #[serde(default)]
    endpoints: BTreeMap<String, Place>,
    #[serde(default)]
    data: BTreeMap<String, Owned>,
    #[serde(default)]
    case: Vec<Spanned<Case>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    kind: AccountKind,
    #[serde(default)]
    groups: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owned {
    owner: Option<String>,
    kind: Option<DidKind>,
    #[serde(default)]
    labels: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    who: OneOrMore,
    action: OneOrMore,
    on: OneOrMore,
    at: Option<OneOrMore>,
    now: Option<String>,
    effect: Effect,
    by: Option<BTreeSet<String>>,
}

impl Case {
    /// How many questions it asks.
    fn questions(&self) -> usize {
        let all = [&self.who, &self.action, &self.on].into_iter().chain(&self.at);
        all.map(|one| one.all().len()).fold(1, usize::saturating_mul)
    }
}

/// A text, or several that all have the same answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn all(&self) -> Vec<&str> {
        match self {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more.iter().map(String::as_str).collect(),
        }
    }
}

/// When questions are asked whose case does not say.
const NOW: &str = "2026-01-01T00:00:00Z";

/// The most questions of one file.
pub const QUESTIONS_MAX: usize = 100_000;

/// Asks every question of a file of tests. Returns how many there were, and those with another
/// answer than is expected.
pub fn run(judge: &Judge, file: &str, text: &str) -> (usize, Vec<Flaw>) {
    let flaw = |offset: usize, what: String| Flaw { file: file.to_owned(), line: line_of(text, offset), what };
    let table: Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => {
            return (0, vec![flaw(error.span().map_or(0, |span| span.start), error.message().to_owned())]);
        }
    };
    let (mut asked, mut flaws) = (0, Vec::new());
    let questions = table.case.iter().map(|case| case.get_ref().questions()).fold(0, usize::saturating_add);
    if questions > QUESTIONS_MAX {
        return (0, vec![flaw(0, format!("it asks {questions} questions, and at most {QUESTIONS_MAX} are answered"))]);
    }
    for case in &table.case {
        match ask_all(judge, &table, case.get_ref()) {
            Ok((count, wrong)) => {
                asked += count;
                flaws.extend(wrong.into_iter().map(|what| flaw(case.span().start, what)));
            }
            Err(what) => flaws.push(flaw(case.span().start, what)),
        }
    }
    (asked, flaws)
}

fn ask_all(judge: &Judge, table: &Table, case: &Case) -> Result<(usize, Vec<String>), String> {
    let now: Timestamp = case.now.as_deref().unwrap_or(NOW).parse().map_err(|error| format!("{error}"))?;
    let places = case.at.as_ref().map_or(vec![None], |at| at.all().into_iter().map(Some).collect());
    let (mut asked, mut wrong) = (0, Vec::new());
    for who in case.who.all() {
        let subject = Arc::new(table.subject(who)?);
        for word in case.action.all() {
            let action = Action::of_name(word).ok_or_else(|| format!("`{word}` is no action"))?;
            for on in case.on.all() {
                let resource = table.resource(on)?;
                for at in &places {
                    let place = at.map(|name| table.place(name)).transpose()?.map(Arc::new);
                    let question = Question { subject: &subject, action, resource: &resource, at: place.as_ref(), now };
                    let decision = judge.decide(&question);
                    asked += 1;
                    let by: BTreeSet<_> = decision.policies.iter().cloned().collect();
                    let as_expected = decision.effect == case.effect && case.by.as_ref().is_none_or(|wish| *wish == by);
                    if !as_expected {
                        let place = at.map_or_else(String::new, |at| format!(" at {at}"));
                        let by = decision.policies.join(", ");
                        wrong.push(format!("{who} {word} {on}{place}: {:?} by {by}", decision.effect).to_lowercase());
                    }
                }
            }
        }
    }
    Ok((asked, wrong))
}

impl Table {
    /// An account that owns something; of one that is in no table, nothing is known but its name.
    fn owner(&self, who: &str) -> Result<Arc<Subject>, String> {
        let known = self.accounts.contains_key(who);
        Ok(Arc::new(if known { self.subject(who)? } else { Subject::only_named(name(who)?) }))
    }

    fn subject(&self, who: &str) -> Result<Subject, String> {
        if who == "anonymous" {
            return Ok(Subject::Anonymous);
        }
        let account = self.accounts.get(who).ok_or_else(|| format!("there is no [accounts.{who}]"))?;
        let groups: Result<_, _> = account.groups.iter().map(|group| name(group)).collect();
        Ok(Subject::Account { name: name(who)?, kind: account.kind, admin: account.admin, groups: groups? })
    }

    fn scope(&self, text: &str) -> Result<Arc<ScopeFacts>, String> {
        let owned = self.scopes.get(text).ok_or_else(|| format!("there is no [scopes.{text}]"))?;
        let owner = self.owner(owned.owner.as_deref().unwrap_or("root"))?;
        let scope = Scope::parse(text).map_err(|error| error.to_string())?;
        Ok(Arc::new(ScopeFacts { scope, owner, labels: Arc::new(owned.labels()?) }))
    }

    /// `lake`, `scope NAME`, `endpoint NAME`, `scope:name` of `[data]`, or a bare scope and labels.
    fn resource(&self, text: &str) -> Result<Resource, String> {
        if text == "lake" {
            return Ok(Resource::Lake);
        }
        if let Some(scope) = text.strip_prefix("scope ") {
            return Ok(Resource::Scope(self.scope(scope)?));
        }
        if let Some(endpoint) = text.strip_prefix("endpoint ") {
            return Ok(Resource::Endpoint(Arc::new(self.place(endpoint)?)));
        }
        let owned = self.data.get(text).ok_or_else(|| format!("there is no [data.\"{text}\"]"))?;
        let did: Did = text.parse().map_err(|error| format!("{error}"))?;
        let scope = self.scope(did.scope.as_str())?;
        let owner = owned.owner.as_deref().map(|owner| self.owner(owner)).transpose()?;
        let owner = owner.unwrap_or_else(|| Arc::clone(&scope.owner));
        let labels = Arc::new(owned.labels()?.join(&scope.labels));
        let kind = owned.kind.unwrap_or(DidKind::Dataset);
        Ok(Resource::Did(DidFacts { did, traits: DidTraits { kind, owner, scope, labels } }))
    }

    fn place(&self, text: &str) -> Result<EndpointFacts, String> {
        let place = self.endpoints.get(text).ok_or_else(|| format!("there is no [endpoints.{text}]"))?;
        let name = EndpointName::parse(text).map_err(|error| error.to_string())?;
        Ok(EndpointFacts { name, kind: "posix".to_owned(), attributes: place.attributes.clone() })
    }
}

impl Owned {
    fn labels(&self) -> Result<LabelSet, String> {
        let changes: Result<Vec<_>, _> = self.labels.iter().map(|label| LabelChange::parse(label)).collect();
        changes.and_then(|changes| LabelSet::default().changed(&changes)).map_err(|error| error.to_string())
    }
}

fn name(text: &str) -> Result<AccountName, String> {
    AccountName::parse(text).map_err(|error| error.to_string())
}
