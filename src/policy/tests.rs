//! What the policies promise, whoever wrote them.

use std::sync::Arc;

use crate::model::account::{AccountKind, AccountName};
use crate::model::did::DidKind;
use crate::model::endpoint::EndpointName;
use crate::model::facts::{DidFacts, DidTraits, EndpointFacts, Resource, ScopeFacts, Subject};
use crate::model::label::{LabelChange, LabelSet};
use crate::model::scope::Scope;
use crate::model::time::Timestamp;
use crate::policy::cases;
use crate::policy::decision::{Action, EVALUATION_ERROR, NO_PERMIT, Question};
use crate::policy::entities::build;
use crate::policy::explain::explain;
use crate::policy::judge::Judge;
use crate::policy::set::{BUILTIN, PolicySet, SCHEMA};

fn subject(name: &str, groups: &[&str]) -> Arc<Subject> {
    let parse = |name: &str| AccountName::parse(name).unwrap();
    let groups = groups.iter().map(|group| parse(group)).collect();
    Arc::new(Subject::Account { name: parse(name), kind: AccountKind::User, admin: false, groups })
}

fn labels(words: &[&str]) -> Arc<LabelSet> {
    let changes: Vec<_> = words.iter().map(|word| LabelChange::parse(word).unwrap()).collect();
    Arc::new(LabelSet::default().changed(&changes).unwrap())
}

fn data(name: &str, words: &[&str]) -> Resource {
    let owner = subject("owner", &["house"]);
    let scope = Scope::parse("climate").unwrap();
    let scope = Arc::new(ScopeFacts { scope, owner: Arc::clone(&owner), labels: Arc::default() });
    let traits = DidTraits { kind: DidKind::Dataset, owner, scope, labels: labels(words) };
    Resource::Did(DidFacts { did: format!("climate:{name}").parse().unwrap(), traits })
}

fn place() -> Arc<EndpointFacts> {
    let attributes = [("country".to_owned(), "DE".to_owned())].into();
    Arc::new(EndpointFacts { name: EndpointName::parse("berlin").unwrap(), kind: "posix".to_owned(), attributes })
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn set(text: &str) -> PolicySet {
    PolicySet::read(&[("mine.cedar".to_owned(), text.to_owned())]).unwrap()
}

fn ask<'a>(subject: &'a Arc<Subject>, action: Action, resource: &'a Resource, now: u64) -> Question<'a> {
    Question { subject, action, resource, at: None, now: at(now) }
}

#[test]
fn the_policies_that_come_along_answer_as_their_table_says() {
    let judge = Judge::builtin();
    let file = "policies/tests/builtin.toml";
    let (asked, flaws) = cases::run(&judge, file, include_str!("../../policies/tests/builtin.toml"));
    assert_eq!(flaws.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    assert!(asked > 100, "{asked}");
    // Every policy determines some answer of the table, or it is not tested.
    let all = include_str!("../../policies/tests/builtin.toml");
    for policy in judge.set().texts() {
        let untested = ["scope-owners", "data-owners", "open-scopes", "endpoints"];
        assert!(all.contains(&format!("\"{}\"", policy.id)) || untested.contains(&policy.id.as_str()), "{}", policy.id);
    }
}

#[test]
fn a_wrong_answer_is_named_with_its_line() {
    let text =
        "[accounts]\nbob = {}\n\n[[case]]\nwho = \"bob\"\naction = \"administer\"\non = \"lake\"\neffect = \"allow\"\n";
    let (asked, flaws) = cases::run(&Judge::builtin(), "t.toml", text);
    assert_eq!(asked, 1);
    assert_eq!(flaws.len(), 1);
    let flaw = flaws[0].to_string();
    assert!(flaw.starts_with("t.toml:4") && flaw.contains("bob administer lake: deny"), "{flaw}");
    let (_, flaws) = cases::run(&Judge::builtin(), "t.toml", "[[case]]\nwho = \"bob\"\nanswer = 1\n");
    assert!(flaws[0].to_string().starts_with("t.toml:"), "{}", flaws[0]);
}

#[test]
fn policies_that_cannot_hold_are_refused_with_file_and_line() {
    let table = [
        ("permit (principal, action, resource)", "mine.cedar:2"),
        ("permit (principal, action, resource);", "@id"),
        ("@id(\"x\")\npermit (principal, action, resource) when { resource.colour == \"red\" };", "mine.cedar:3"),
        // An attribute that may be missing has to be asked for first.
        (
            "@id(\"x\")\npermit (principal, action == Dapple::Action::\"ReadData\", resource) when { resource.embargo < context.now };",
            "mine.cedar:3",
        ),
        ("@id(\"x\")\npermit (principal, action == Dapple::Action::\"Fly\", resource);", "Fly"),
        ("@id(\"builtin/x\")\npermit (principal, action, resource);", "@id"),
        ("@id(\"x\")\npermit (principal == ?principal, action, resource);", "templates"),
    ];
    for (text, expected) in table {
        let files = [("mine.cedar".to_owned(), format!("// Why.\n{text}"))];
        let refused = PolicySet::read(&files).expect_err(text).to_string();
        assert!(refused.contains(expected), "{text}: {refused}");
    }
    let bare =
        PolicySet::read(&[("a.cedar".to_owned(), "@id(\"x\") permit (principal, action, resource);".to_owned())]);
    assert!(bare.expect_err("no comment").to_string().contains("a.cedar:1: a policy needs a comment"));
    let twice = "// Why.\n@id(\"x\")\npermit (principal, action, resource);\n";
    let twice = [("a.cedar".to_owned(), twice.to_owned()), ("b.cedar".to_owned(), twice.to_owned())];
    assert!(PolicySet::read(&twice).expect_err("twice").to_string().contains("b.cedar:2"));
    assert!(PolicySet::read(&[]).is_err(), "nobody could do anything");
}

#[test]
fn what_comes_along_is_known_by_name_and_place() {
    let set = PolicySet::builtin();
    let embargo = set.text("embargo").expect("it is there");
    assert!(!embargo.permits);
    assert_eq!(embargo.file, "builtin/invariants.cedar");
    let line = BUILTIN[0].1.lines().position(|line| line == "@id(\"embargo\")").expect("it is there") + 1;
    assert_eq!(embargo.line, line);
    assert!(embargo.comment.starts_with("Data under an embargo"), "{}", embargo.comment);
    assert!(embargo.text.ends_with(';') && embargo.text.starts_with("@id"), "{}", embargo.text);
    assert_eq!(set.revision(), PolicySet::builtin().revision());
}

/// Facts are not checked against the schema when it counts, as that costs as much as the decision.
#[test]
fn facts_fit_the_schema_for_every_action() {
    let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).expect("the schema is right");
    let full = ["classification=public", "project=eo", "embargo=2027-01-01", "licence=by", "residency=DE,FR", "x=1,2"];
    let (somebody, nobody) = (subject("bob", &["eo", "bob"]), Arc::new(Subject::Anonymous));
    let Resource::Did(facts) = data("a", &full) else { unreachable!("it is data") };
    let scope = Arc::new(ScopeFacts { labels: labels(&full), ..(*facts.traits.scope).clone() });
    let place = place();
    let of = |action| match action {
        Action::Administer => {
            vec![Resource::Lake, Resource::Scope(Arc::clone(&scope)), Resource::Endpoint(Arc::clone(&place))]
        }
        Action::Discover => vec![
            Resource::Did(facts.clone()),
            Resource::Scope(Arc::clone(&scope)),
            Resource::Endpoint(Arc::clone(&place)),
        ],
        Action::Write | Action::Delete | Action::Relabel => {
            vec![Resource::Did(facts.clone()), Resource::Scope(Arc::clone(&scope))]
        }
        Action::Read | Action::AddRule | Action::Place => vec![Resource::Did(facts.clone()), data("bare", &[])],
    };
    for action in Action::ALL {
        for resource in of(action) {
            let at = matches!(action, Action::Place | Action::Read).then_some(&place);
            let question = Question { subject: &somebody, action, resource: &resource, at, now: at_now() };
            build(&question, Some(&schema)).unwrap_or_else(|error| panic!("{action:?}: {error}"));
            if matches!(action, Action::Discover | Action::Read) {
                build(&Question { subject: &nobody, ..question }, Some(&schema)).expect("anonymous, too");
            }
        }
    }
}

fn at_now() -> Timestamp {
    at(1_800_000_000_000)
}

#[test]
fn a_question_that_cannot_be_evaluated_is_denied() {
    // Without a place, `Place` has no `context.at`: the forbids that read it fail, and are no yes.
    let root = Subject::Account { name: AccountName::root(), kind: AccountKind::User, admin: true, groups: [].into() };
    let (root, resource) = (Arc::new(root), data("a", &["residency=DE"]));
    let decision = Judge::builtin().decide(&ask(&root, Action::Place, &resource, 1));
    assert!(!decision.allows());
    assert_eq!(*decision.policies, [EVALUATION_ERROR.to_owned()]);
}

#[test]
fn equal_rows_cost_one_evaluation_and_other_policies_forget_it() {
    let judge = Judge::builtin();
    let bob = subject("bob", &[]);
    for number in 0..1_000 {
        assert!(judge.decide(&ask(&bob, Action::Discover, &data(&number.to_string(), &["a=b"]), number)).allows());
    }
    assert_eq!(judge.evaluations(), 1);
    assert!(!judge.decide(&ask(&subject("eve", &[]), Action::Write, &data("1", &[]), 1)).allows());
    assert_eq!(judge.evaluations(), 2);
    judge.replace(set("// Nobody sees anything.\n@id(\"none\")\nforbid (principal, action, resource);"));
    let decision = judge.decide(&ask(&bob, Action::Discover, &data("1", &["a=b"]), 1));
    assert_eq!(*decision.policies, ["none".to_owned()]);
    assert_ne!(*decision.revision, *PolicySet::builtin().revision());
}

#[test]
fn policies_that_name_data_are_asked_for_each() {
    let text =
        "// One dataset alone.\n@id(\"one\")\npermit (principal, action, resource == Dapple::Did::\"climate:b\");";
    let judge = Judge::new(set(text));
    let bob = subject("bob", &[]);
    let asked = ["a", "b", "c"].map(|name| judge.decide(&ask(&bob, Action::Read, &data(name, &[]), 1)).allows());
    assert_eq!(asked, [false, true, false]);
}

#[test]
fn what_the_clock_decides_is_decided_again_in_time() {
    let judge = Judge::builtin();
    let (bob, later) = (subject("bob", &[]), data("a", &["embargo=1970-01-01T00:00:10Z"]));
    let allowed = |now| judge.decide(&ask(&bob, Action::Read, &later, now)).allows();
    assert_eq!([9_000, 9_999, 10_000, 10_001, 20_000].map(allowed), [false, false, true, true, true]);
    assert_eq!(judge.evaluations(), 3, "before, at the moment, and behind it");
    assert!(!allowed(9_500), "a clock may be set back");
    // Times that policies make up cannot be foreseen.
    let text = "// Mornings.\n@id(\"morning\")\npermit (principal, action, resource)\nwhen { context.now.toTime() < duration(\"5s\") };";
    judge.replace(set(text));
    assert_eq!(
        [4_000, 4_999, 5_000].map(|now| judge.decide(&ask(&bob, Action::Read, &later, now)).allows()),
        [true, true, false]
    );
}

#[test]
fn policies_read_what_is_known_of_owners() {
    let ask_of = |condition: &str, who: &str| {
        let text = format!(
            "// Owners.\n@id(\"owners\")\npermit (principal is Dapple::Account, action == Dapple::Action::\"ReadData\", \
             resource is Dapple::Did) when {{ {condition} }};"
        );
        let (judge, who) = (Judge::new(set(&text)), subject(who, &["house"]));
        judge.decide(&ask(&who, Action::Read, &data("a", &[]), 1)).policies.to_vec()
    };
    // `owner` is a user, and in the group `house`; the second asker is the owner.
    for who in ["bob", "owner"] {
        for (condition, holds) in [
            ("resource.owner.kind == \"user\"", true),
            ("resource.scope.owner.kind == \"group\"", false),
            ("resource.owner.admin", false),
            ("resource.scope.owner.groups.contains(\"house\")", true),
            ("resource.owner in Dapple::Account::\"house\"", true),
            ("resource.owner in principal", who == "owner"),
        ] {
            let by = if holds { "owners" } else { NO_PERMIT };
            assert_eq!(ask_of(condition, who), [by], "{who}: {condition}");
        }
    }
}

#[test]
fn an_explanation_says_what_each_permit_wanted() {
    let judge = Judge::builtin();
    let (bob, plan) = (subject("bob", &["other"]), data("a", &["classification=restricted", "project=eo"]));
    let told = explain(&judge, &ask(&bob, Action::Read, &plan, 1));
    assert_eq!(*told.decision.policies, [NO_PERMIT.to_owned()]);
    let wanted: Vec<_> = told.wanted.iter().map(|one| (one.policy.id.as_str(), one.unmet.as_str())).collect();
    assert_eq!(
        wanted,
        [
            ("admins", "principal.admin"),
            ("scope-owners", "another kind of account or resource"),
            ("data-owners", "(principal in resource.owner) || (principal in resource.scope.owner)"),
            ("public-data", "resource.public"),
            ("internal-data", "resource.public || (resource.classification == \"internal\")"),
            ("project-members", "principal.groups.contains(resource.project)"),
        ]
    );
    let later = data("a", &["embargo=2027-01-01"]);
    let told = explain(&judge, &ask(&bob, Action::Read, &later, 1));
    assert_eq!(told.determined.iter().map(|text| text.id.as_str()).collect::<Vec<_>>(), ["embargo"]);
    assert!(told.wanted.is_empty(), "a forbid needs no more reasons");
}
