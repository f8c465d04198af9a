//! Policies: show those in force, check others, and explain decisions.

use std::path::Path;
use std::sync::Arc;

use crate::catalog::subjects;
use crate::model::did::DidKind;
use crate::model::facts::{EndpointFacts, Resource, Subject};
use crate::model::time::Timestamp;
use crate::policy::cases;
use crate::policy::decision::{Action, KEY_SCOPE, Question};
use crate::policy::explain::explain as reasons;
use crate::policy::judge::Judge;
use crate::policy::set::{Flaw, PolicySet, PolicyText};
use crate::service::Context;
use crate::service::endpoints::find as find_endpoint;
use crate::service::error::ServiceError;
use crate::service::sight::Sight;
use crate::service::view::{
    CheckedPolicies, FlawView, PoliciesView, PolicyExplanation, PolicyFile, PolicyFiles, PolicyQuestion, PolicyView,
    UnmetView,
};

/// Shows the policies in force. Everybody may know the rules that hold for them.
pub fn show(ctx: &Context) -> Result<PoliciesView, ServiceError> {
    ctx.permit(Action::Discover, "policies")?;
    let set = ctx.lake.judge.set();
    let items = set.texts().iter().map(to_view).collect();
    Ok(PoliciesView { revision: set.revision().to_owned(), items, refused: ctx.lake.judge.refused() })
}

/// Checks policies and runs their tests; nothing comes into force.
pub async fn check(ctx: &Context, files: PolicyFiles) -> Result<CheckedPolicies, ServiceError> {
    ctx.permit(Action::Administer, "policies")?;
    Ok(ctx.lake.catalog.clock().compute(move || check_files(&files.files)).await)
}

/// Checks policies and runs their tests. Tests alone are asked of the policies that come along.
pub fn check_files(files: &[PolicyFile]) -> CheckedPolicies {
    let is = |file: &PolicyFile, end: &str| Path::new(&file.name).extension().is_some_and(|ours| ours == end);
    let named = |end: &str| -> Vec<(String, String)> {
        let ours = files.iter().filter(|file| is(file, end));
        ours.map(|file| (file.name.clone(), file.text.clone())).collect()
    };
    let (texts, tests) = (named("cedar"), named("toml"));
    let strange = files.iter().filter(|file| !is(file, "cedar") && !is(file, "toml"));
    let strange = strange.map(|file| Flaw {
        file: file.name.clone(),
        line: 0,
        what: "policies are in `*.cedar`, their tests in `*.toml`".to_owned(),
    });
    let mut flaws: Vec<Flaw> = strange.collect();
    let set = if texts.is_empty() { Ok(PolicySet::builtin()) } else { PolicySet::read(&texts) };
    let (mut policies, mut asked, mut revision) = (0, 0, None);
    match set {
        Err(error) => flaws.extend(error.flaws),
        Ok(set) => {
            policies = set.texts().len();
            revision = Some(set.revision().to_owned());
            let judge = Judge::new(set);
            for (file, text) in &tests {
                let (count, wrong) = cases::run(&judge, file, text);
                asked += count;
                flaws.extend(wrong);
            }
        }
    }
    let flaws = flaws.into_iter().map(|flaw| FlawView { file: flaw.file, line: flaw.line, what: flaw.what });
    CheckedPolicies { policies, asked, revision, flaws: flaws.collect() }
}

/// Says why somebody may or may not do something. Whoever asks for themselves learns only of what
/// they may see; asking for others is for admins.
pub async fn explain(ctx: &Context, question: PolicyQuestion) -> Result<PolicyExplanation, ServiceError> {
    let other = question.account.clone().filter(|account| account != ctx.account());
    match &other {
        Some(account) => ctx.permit(Action::Administer, format!("decisions on account {account}"))?,
        None => ctx.permit(Action::Discover, "decisions")?,
    };
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let resource = resource(&mut sight, &question).await?;
    let at = match &question.at {
        Some(name) => Some(Arc::new(EndpointFacts::from(&find_endpoint(&view, name).await?))),
        None => None,
    };
    if question.action == Action::Place && at.is_none() {
        return Err(ServiceError::invalid("invalid-question", "`place` is asked of an endpoint: name one with `at`"));
    }
    let subject = match &other {
        None => Arc::clone(sight.subject()),
        Some(account) => {
            let known = subjects::subject(&view, account).await?;
            let (subject, _) = known.ok_or_else(|| ServiceError::not_found("account", account))?;
            Arc::new(subject)
        }
    };
    Ok(answer(ctx, &question, &subject, &resource, at.as_ref(), other.is_none().then_some(&sight)))
}

async fn resource(sight: &mut Sight, question: &PolicyQuestion) -> Result<Resource, ServiceError> {
    let resource = match (&question.did, &question.scope, &question.at) {
        (Some(_), Some(_), _) => {
            return Err(ServiceError::invalid("invalid-question", "ask on a DID or on a scope, not on both"));
        }
        (Some(did), None, _) => sight.did(did).await?.resource(),
        (None, Some(scope), _) => Resource::Scope(sight.scope(scope).await?),
        (None, None, Some(endpoint)) => {
            let endpoint = find_endpoint(sight.view(), endpoint).await?;
            Resource::Endpoint(Arc::new(EndpointFacts::from(&endpoint)))
        }
        (None, None, None) => Resource::Lake,
    };
    let fits = match (question.action, &resource) {
        (Action::Administer, Resource::Did(_)) => false,
        (Action::Administer | Action::Discover, _) | (_, Resource::Did(_)) => true,
        (Action::Write | Action::Delete | Action::Relabel, Resource::Scope(_)) => true,
        _ => false,
    };
    if fits {
        return Ok(resource);
    }
    let detail = format!("`{}` is not asked of {resource}", question.action.name());
    let hint = Some("see docs/policy.md for what each action is asked of".to_owned());
    Err(ServiceError::Invalid { code: "invalid-question", detail, hint })
}

fn answer(
    ctx: &Context,
    asked: &PolicyQuestion,
    subject: &Arc<Subject>,
    resource: &Resource,
    at: Option<&Arc<EndpointFacts>>,
    own: Option<&Sight>,
) -> PolicyExplanation {
    let now: Timestamp = asked.when.unwrap_or_else(|| ctx.catalog().clock().now());
    let question = Question { subject, action: asked.action, resource, at, now };
    let told = reasons(&ctx.lake.judge, &question);
    // What one's own key takes away belongs to the answer.
    let key = own.map(|sight| sight.decide(asked.action, resource, at));
    let decision = key.filter(|one| *one.policies == [KEY_SCOPE.to_owned()]).unwrap_or(told.decision);
    let labels = match resource {
        Resource::Did(facts) => facts.traits.labels.words(),
        Resource::Scope(facts) => facts.labels.words(),
        Resource::Lake | Resource::Endpoint(_) => Vec::new(),
    };
    let account = asked.account.clone().unwrap_or_else(|| ctx.account().clone());
    PolicyExplanation {
        account,
        action: asked.action,
        resource: match resource {
            Resource::Did(facts) if facts.traits.kind != DidKind::File => {
                format!("{} {}", facts.traits.kind, facts.did)
            }
            other => other.to_string(),
        },
        at: at.map(|at| at.name.clone()),
        effect: decision.effect,
        policies: decision.policies.to_vec(),
        determined: told.determined.iter().map(to_view).collect(),
        wanted: told
            .wanted
            .iter()
            .map(|one| UnmetView { policy: to_view(&one.policy), unmet: one.unmet.clone() })
            .collect(),
        labels: labels.into_iter().collect(),
        revision: decision.revision.to_string(),
        until: decision.until.filter(|until| until.as_millis() < u64::MAX),
    }
}

fn to_view(text: &PolicyText) -> PolicyView {
    PolicyView {
        id: text.id.clone(),
        file: text.file.clone(),
        line: text.line,
        effect: if text.permits { "permit" } else { "forbid" }.to_owned(),
        comment: text.comment.clone(),
        text: text.text.clone(),
    }
}
