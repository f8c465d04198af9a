//! Explains a decision: which policies determined it, and where nobody was let in, what each permit
//! wanted and did not find.

use cedar_policy::{Authorizer, Decision as CedarDecision, Policy, PolicyId, PolicySet as CedarSet};
use serde_json::{Value, json};

use crate::policy::decision::{Decision, Effect, Question};
use crate::policy::entities::{Asked, build};
use crate::policy::judge::Judge;
use crate::policy::set::{PolicySet, PolicyText};

/// A decision with its reasons.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// The policies that determined it, as far as they have texts.
    pub determined: Vec<PolicyText>,
    /// Where no permit held: each that speaks of the action, and what it wanted.
    pub wanted: Vec<Wanted>,
}

/// A permit that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The permit.
    pub policy: PolicyText,
    /// The first thing it asks for that is not so.
    pub unmet: String,
}

/// Decides, and says why.
pub fn explain(judge: &Judge, question: &Question<'_>) -> Explanation {
    let decision = judge.decide(question);
    let set = judge.set();
    let determined = decision.policies.iter().filter_map(|id| set.text(id).cloned()).collect();
    let lacks_permit = decision.effect == Effect::Deny && !decision.policies.iter().any(|id| set.text(id).is_some());
    let wanted = match build(question, None) {
        Ok(asked) if lacks_permit => wanted(&set, question, &asked),
        _ => Vec::new(),
    };
    Explanation { decision, determined, wanted }
}

fn wanted(set: &PolicySet, question: &Question<'_>, asked: &Asked) -> Vec<Wanted> {
    let permits = set.texts().iter().filter(|text| text.permits);
    let speaking = permits.filter_map(|text| {
        let policy = set.by_action[&question.action].set.policy(&PolicyId::new(&text.id))?;
        Some(Wanted { policy: text.clone(), unmet: unmet(policy, asked) })
    });
    speaking.collect()
}

/// The first part of a permit that does not hold. Each part is asked for by itself, as the condition
/// of a policy of its own.
fn unmet(policy: &Policy, asked: &Asked) -> String {
    let Ok(json) = policy.to_json() else { return "more than can be said".to_owned() };
    let with = |conditions: Value| {
        let mut part = json.clone();
        part["conditions"] = conditions;
        Policy::from_json(None, part).ok()
    };
    let holds = |policy: &Policy| {
        CedarSet::from_policies([policy.clone()]).is_ok_and(|set| {
            let response = Authorizer::new().is_authorized(&asked.request, &set, &asked.entities);
            response.decision() == CedarDecision::Allow
        })
    };
    if !with(json!([])).is_some_and(|bare| holds(&bare)) {
        return "another kind of account or resource".to_owned();
    }
    for condition in json["conditions"].as_array().into_iter().flatten() {
        let mut parts = Vec::new();
        let is_when = condition["kind"] == "when";
        // An `unless` is met as a whole or not at all.
        if is_when {
            conjuncts(&condition["body"], &mut parts);
        } else {
            parts.push(&condition["body"]);
        }
        for part in parts {
            let Some(single) = with(json!([{ "kind": condition["kind"], "body": part }])) else { continue };
            if !holds(&single) {
                return words(&single).unwrap_or_else(|| "a condition of its own".to_owned());
            }
        }
    }
    "more than can be said".to_owned()
}

/// The parts of a condition that must all hold.
fn conjuncts<'a>(body: &'a Value, parts: &mut Vec<&'a Value>) {
    match body.get("&&") {
        Some(both) => {
            conjuncts(&both["left"], parts);
            conjuncts(&both["right"], parts);
        }
        None => parts.push(body),
    }
}

/// The condition of a policy that has one, as text.
fn words(policy: &Policy) -> Option<String> {
    let text = policy.to_cedar()?;
    let from = text.find("when {").or_else(|| text.find("unless {"))?;
    let condition = text[from..].trim_end_matches([';', '\n']).split_whitespace().collect::<Vec<_>>().join(" ");
    let condition = condition.strip_prefix("when { ").and_then(|text| text.strip_suffix(" }")).unwrap_or(&condition);
    Some(bare(condition).to_owned())
}

/// A condition without brackets that are around all of it.
fn bare(condition: &str) -> &str {
    let Some(inside) = condition.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else { return condition };
    let mut depth = 0_i32;
    for letter in inside.chars() {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        if depth < 0 {
            return condition;
        }
    }
    inside
}
