//! `dapple policy …`, and labels: what policies say, and what they go by.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app::policies::with_tests;
use crate::cli::failure::Failure;
use crate::cli::screen::{Screen, Style, clean};
use crate::cli::{Session, parse};
use crate::model::account::AccountName;
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;
use crate::policy::decision::{Action, Effect};
use crate::policy::set::BUILTIN;
use crate::service::policy::check_files;
use crate::service::view::{
    CheckedPolicies, LabelsChange, LabelsView, PoliciesView, PolicyExplanation, PolicyFile, PolicyQuestion, PolicyView,
};

/// The tests of the policies that come along.
const BUILTIN_TESTS: &str = include_str!("../../policies/tests/builtin.toml");

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show the policies in force
    Show,
    /// Check policies and run their tests, without a server
    Check(CheckArgs),
    /// Say why somebody may or may not do something
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// A directory with *.cedar, and with tests/*.toml [default: the policies that come along]
    directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// What for: discover, read, write, delete, add-rule, place, relabel or administer
    #[arg(long, value_parser = action)]
    action: Action,
    /// scope:name, or a scope with its colon (`climate:`)
    #[arg(value_name = "DID")]
    on: Option<String>,
    /// For this account; asking for others is for admins [default: yourself]
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: Option<AccountName>,
    /// At this endpoint
    #[arg(long, value_name = "ENDPOINT", value_parser = parse::endpoint)]
    at: Option<EndpointName>,
    /// At this time, such as 2027-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    when: Option<Timestamp>,
}

fn action(text: &str) -> Result<Action, String> {
    let all = Action::ALL.map(Action::name).join(", ");
    Action::of_name(text).ok_or_else(|| format!("`{text}` is no action: use one of {all}"))
}

/// Checks policies on this machine.
pub(crate) fn check(screen: &mut Screen, args: CheckArgs) -> Result<(), Failure> {
    let files = match args.directory {
        Some(directory) => with_tests(&directory)?,
        None => {
            let tests = [("tests/builtin.toml", BUILTIN_TESTS)];
            let all = BUILTIN.iter().chain(&tests);
            all.map(|(name, text)| PolicyFile { name: (*name).to_owned(), text: (*text).to_owned() }).collect()
        }
    };
    let checked = check_files(&files);
    screen.page(&checked, |_| checked_page(&checked))?;
    match checked.flaws.len() {
        0 => Ok(()),
        count => Err(Failure::Flawed { count }),
    }
}

fn checked_page(checked: &CheckedPolicies) -> String {
    let mut text = String::new();
    for flaw in &checked.flaws {
        text += &format!("{}:{}: {}\n", clean(&flaw.file), flaw.line, clean(&flaw.what));
    }
    let (policies, asked) = (checked.policies, checked.asked);
    let revision = checked.revision.as_deref().unwrap_or("none, as they cannot come into force");
    text + &format!(
        "{policies} policies, {asked} questions asked, {} wrong\nrevision {revision}\n",
        checked.flaws.len()
    )
}

pub(crate) async fn run(session: &mut Session, command: PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Check(args) => check(&mut session.screen, args),
        PolicyCommand::Show => {
            let shown = session.client.policies().await?;
            session.screen.page(&shown, |_| shown_page(&shown))
        }
        PolicyCommand::Explain(args) => {
            let mut question = PolicyQuestion {
                account: args.account,
                action: args.action,
                did: None,
                scope: None,
                at: args.at,
                when: args.when,
            };
            match args.on.as_deref().map(|on| (on, on.strip_suffix(':'))) {
                None => {}
                Some((_, Some(scope))) => question.scope = Some(parse::scope(scope).map_err(usage)?),
                Some((did, None)) => question.did = Some(did.parse::<Did>().map_err(usage)?),
            }
            let told = session.client.explain_policy(&question).await?;
            session.screen.page(&told, |style| told_page(&told, style))
        }
    }
}

fn usage(error: impl ToString) -> Failure {
    Failure::Usage { detail: error.to_string(), hint: Some("write `scope:name`, or `scope:`".to_owned()) }
}

fn shown_page(shown: &PoliciesView) -> String {
    let mut text = format!("// revision {}\n", shown.revision);
    if let Some(why) = &shown.refused {
        text += &format!("// a change of the files is not in force: {}\n", clean(why));
    }
    for policy in &shown.items {
        text += &format!("\n// {}:{}\n", clean(&policy.file), policy.line);
        text += &policy_text(policy);
    }
    text
}

/// A policy with its comment, as it stands in its file.
fn policy_text(policy: &PolicyView) -> String {
    let lines = policy.text.lines().map(|line| clean(line) + "\n").collect::<String>();
    format!("// {}\n{lines}", clean(&policy.comment))
}

fn told_page(told: &PolicyExplanation, style: Style) -> String {
    let verb = if told.effect == Effect::Allow { "may" } else { "may not" };
    let place = told.at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
    let mut text = format!("{} {verb} {} {}{place}\n", told.account, told.action.name(), clean(&told.resource));
    text += &format!("by {}\n", told.policies.join(", "));
    if !told.labels.is_empty() {
        let labels: Vec<_> = told.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text += &format!("labels: {}\n", clean(&labels.join(" ")));
    }
    if let Some(until) = told.until {
        text += &format!("until {}\n", style.time(until));
    }
    for policy in &told.determined {
        text += &format!("\n{}", policy_text(policy));
    }
    if !told.wanted.is_empty() {
        text += "\nno permit holds; each wants:\n";
        for one in &told.wanted {
            text += &format!("  {:<20}  {}\n", clean(&one.policy.id), clean(&one.unmet));
        }
    }
    text
}

pub(crate) async fn label_did(session: &mut Session, did: Did, labels: Vec<String>) -> Result<(), Failure> {
    let view = if labels.is_empty() {
        session.client.did_labels(&did).await?
    } else {
        session.client.label_did(&did, &LabelsChange { labels }).await?
    };
    session.screen.page(&view, |_| labels_page(&view))
}

pub(crate) async fn label_scope(session: &mut Session, scope: Scope, labels: Vec<String>) -> Result<(), Failure> {
    let view = if labels.is_empty() {
        session.client.scope_labels(&scope).await?
    } else {
        session.client.label_scope(&scope, &LabelsChange { labels }).await?
    };
    session.screen.page(&view, |_| labels_page(&view))
}

/// A line for each label that holds; those from above are marked.
fn labels_page(view: &LabelsView) -> String {
    if view.effective.is_empty() {
        return "no labels: it is internal\n".to_owned();
    }
    let line = |(key, value): (&String, &String)| {
        let own = view.own.get(key) == Some(value);
        format!("{}\t{}\t{}\n", clean(key), clean(value), if own { "own" } else { "from above" })
    };
    view.effective.iter().map(line).collect()
}
