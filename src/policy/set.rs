//! A set of policies: read from texts, checked against the schema, and split by action, as the
//! evaluator looks at every policy that it is given. A set that was made is right as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr as _;

use cedar_policy::{
    ActionConstraint, EntityUid, Policy, PolicyId, PolicySet as CedarSet, Schema, ValidationMode, Validator,
};

use miette::Diagnostic;
use serde_json::Value as Json;

use crate::policy::decision::Action;

/// The schema that all policies are checked against.
pub const SCHEMA: &str = include_str!("../../policies/dapple.cedarschema");

/// The set that is in force where nobody says otherwise: file names and texts.
pub const BUILTIN: [(&str, &str); 2] = [
    ("builtin/invariants.cedar", include_str!("../../policies/builtin/invariants.cedar")),
    ("builtin/permits.cedar", include_str!("../../policies/builtin/permits.cedar")),
];

/// The most bytes of all texts of a set.
pub const TEXT_BYTES_MAX: usize = 256 << 10;
/// The most policies of a set: the evaluator's time grows with them.
pub const POLICIES_MAX: usize = 256;

/// Names of functions and methods that make a time out of nothing or out of another: policies that
/// use none of them can only compare the time of the request with an embargo.
const TIME_FUNCTIONS: [&str; 11] = [
    "datetime",
    "duration",
    "offset",
    "durationSince",
    "toDate",
    "toTime",
    "toMilliseconds",
    "toSeconds",
    "toMinutes",
    "toHours",
    "toDays",
];

/// What is wrong with a policy text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The file.
    pub file: String,
    /// The line, from 1 on; 0 if it is about the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// Policies that cannot come into force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policies cannot come into force: {}", .flaws.iter().map(Flaw::to_string).collect::<Vec<_>>().join("; "))]
pub struct InvalidPolicies {
    /// Everything that is wrong with them.
    pub flaws: Vec<Flaw>,
}

/// A policy as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// Its `@id`.
    pub id: String,
    /// The file it is from.
    pub file: String,
    /// The line it begins at.
    pub line: usize,
    /// Whether it lets in; otherwise it keeps out.
    pub permits: bool,
    /// The comment above it.
    pub comment: String,
    /// Its text.
    pub text: String,
}

/// The policies that speak of one action.
pub(super) struct OfAction {
    /// As the evaluator takes them.
    pub(super) set: CedarSet,
    /// Whether any reads the time.
    pub(super) reads_clock: bool,
    /// Whether any knows more of owners than who they are.
    knows_owners: bool,
}

/// Policies that are in force, or could be.
pub struct PolicySet {
    pub(super) by_action: BTreeMap<Action, OfAction>,
    /// Whether any policy names single DIDs, so that two with the same traits may differ.
    pub names_dids: bool,
    /// Whether any policy that speaks of reading looks at the endpoint that is read from.
    pub reads_place: bool,
    /// Whether the time may be compared with more than embargoes.
    pub(super) reckons_time: bool,
    texts: Vec<PolicyText>,
    revision: String,
}

impl PolicySet {
    /// The set that dapple brings along.
    pub fn builtin() -> Self {
        let files = BUILTIN.map(|(file, text)| (file.to_owned(), text.to_owned()));
        Self::read(&files).expect("the set that is built in is right: a test reads it")
    }

    /// Reads policies from files and checks each against the schema.
    pub fn read(files: &[(String, String)]) -> Result<Self, InvalidPolicies> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).expect("the schema is right: a test reads it");
        let mut flaws = Vec::new();
        if files.iter().map(|(_, text)| text.len()).sum::<usize>() > TEXT_BYTES_MAX {
            let what = format!("all policies together have at most {} KiB", TEXT_BYTES_MAX >> 10);
            return Err(InvalidPolicies { flaws: vec![Flaw { file: "the policies".to_owned(), line: 0, what }] });
        }
        let (mut policies, mut texts) = (Vec::new(), Vec::<PolicyText>::new());
        for (file, text) in files {
            match read_file(file, text) {
                Ok(read) => {
                    for (policy, text) in read {
                        if let Some(other) = texts.iter().find(|other| other.id == text.id) {
                            let what = format!("`{}` is the id of a policy in {} as well", text.id, other.file);
                            flaws.push(Flaw { file: file.clone(), line: text.line, what });
                        }
                        policies.push(policy);
                        texts.push(text);
                    }
                }
                Err(found) => flaws.extend(found),
            }
        }
        if policies.len() > POLICIES_MAX {
            let what = format!("a set has at most {POLICIES_MAX} policies");
            flaws.push(Flaw { file: "the policies".to_owned(), line: 0, what });
        }
        if policies.is_empty() && flaws.is_empty() {
            let what = "there is no policy, so that nobody could do anything".to_owned();
            flaws.push(Flaw { file: "the policies".to_owned(), line: 0, what });
        }
        if flaws.is_empty() {
            flaws.extend(validate(&schema, &policies, &texts, files));
        }
        if !flaws.is_empty() {
            return Err(InvalidPolicies { flaws });
        }
        let revision = revision_of(files);
        Ok(Self::assemble(policies, texts, revision))
    }

    fn assemble(policies: Vec<Policy>, texts: Vec<PolicyText>, revision: String) -> Self {
        let shapes: Vec<String> = policies.iter().map(shape).collect();
        let by_action = Action::ALL.into_iter().map(|action| {
            let speaking: Vec<_> =
                policies.iter().zip(&shapes).filter(|(policy, _)| speaks_of(policy, action)).collect();
            let reads_clock = speaking.iter().any(|(_, shape)| shape.contains("\"attr\":\"now\""));
            // What cannot be read may know everything.
            let knows_owners =
                speaking.iter().any(|(policy, _)| policy.to_json().map_or(true, |json| knows_owner(&json)));
            let set = CedarSet::from_policies(speaking.into_iter().map(|(policy, _)| policy.clone()))
                .expect("their ids differ, as was checked");
            (action, OfAction { set, reads_clock, knows_owners })
        });
        let mut of_reading = policies.iter().zip(&shapes).filter(|(policy, _)| speaks_of(policy, Action::Read));
        let reads_place = of_reading.any(|(_, shape)| shape.contains("\"attr\":\"at\""));
        let names_dids = policies.iter().flat_map(Policy::entity_literals).any(|uid| {
            let name = uid.type_name().to_string();
            name == "Dapple::Did"
        });
        let calls = |shape: &String| TIME_FUNCTIONS.iter().any(|name| shape.contains(&format!("\"{name}\":[")));
        Self {
            by_action: by_action.collect(),
            names_dids,
            reads_place,
            reckons_time: shapes.iter().any(calls),
            texts,
            revision,
        }
    }

    /// Whether any policy that speaks of placing knows more of owners than who they are: their groups, or
    /// whether they are admins.
    pub fn knows_owners(&self) -> bool {
        self.by_action[&Action::Place].knows_owners
    }

    /// The policies as people know them, in the order of their files.
    pub fn texts(&self) -> &[PolicyText] {
        &self.texts
    }

    /// A policy by its id.
    pub fn text(&self, id: &str) -> Option<&PolicyText> {
        self.texts.iter().find(|text| text.id == id)
    }

    /// Names the set: equal texts under an equal schema have equal revisions.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet").field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// What names a set: a hash of its texts and of the schema that they were checked against.
pub fn revision_of(files: &[(String, String)]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in files.iter().map(|(_, text)| text.as_str()).chain([SCHEMA]) {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

/// Policies of a file, each with its `@id` for a name.
fn read_file(file: &str, text: &str) -> Result<Vec<(Policy, PolicyText)>, Vec<Flaw>> {
    let flaw = |line: usize, what: String| Flaw { file: file.to_owned(), line, what };
    let read = CedarSet::from_str(text).map_err(|errors| {
        let to_flaw = |error: &cedar_policy::ParseError| {
            let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
            flaw(offset.map_or(0, |offset| line_of(text, offset)), error.to_string())
        };
        errors.iter().map(to_flaw).collect::<Vec<_>>()
    })?;
    if read.templates().next().is_some() {
        return Err(vec![flaw(0, "templates (`?principal`, `?resource`) are not taken".to_owned())]);
    }
    let mut all: Vec<Policy> = read.policies().cloned().collect();
    // They are numbered in the order of the text.
    all.sort_by_key(|policy| policy.id().to_string()[6..].parse::<u32>().unwrap_or(u32::MAX));
    let (mut policies, mut flaws, mut from) = (Vec::new(), Vec::new(), 0);
    for policy in all {
        let source = policy.to_string();
        let at = text[from..].find(source.as_str()).map_or(from, |found| from + found);
        let (line, comment) = (line_of(text, at), comment_above(text, at));
        from = at + source.len();
        match policy.annotation("id").filter(|id| is_id(id)) {
            None => {
                flaws.push(flaw(line, "a policy needs an `@id(\"…\")` of letters, digits, `-`, `_`, `/`".to_owned()));
            }
            Some(_) if comment.is_empty() => {
                flaws.push(flaw(line, "a policy needs a comment above it that says what it is for".to_owned()));
            }
            Some(id) => {
                let permits = policy.effect() == cedar_policy::Effect::Permit;
                let id = id.to_owned();
                let policy = policy.new_id(PolicyId::new(&id));
                policies.push((policy, PolicyText { id, file: file.to_owned(), line, permits, comment, text: source }));
            }
        }
    }
    if flaws.is_empty() { Ok(policies) } else { Err(flaws) }
}

fn is_id(id: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'.');
    !id.is_empty() && id.len() <= 64 && id.bytes().all(fits) && !id.starts_with("builtin/")
}

/// The comment right above a place in a text.
fn comment_above(text: &str, at: usize) -> String {
    let above = text[..at].trim_end_matches([' ', '\t']);
    let mut lines: Vec<&str> = Vec::new();
    for line in above.lines().rev() {
        match line.trim().strip_prefix("//") {
            Some(words) => lines.push(words.trim()),
            None => break,
        }
    }
    lines.reverse();
    lines.join(" ")
}

fn validate(schema: &Schema, policies: &[Policy], texts: &[PolicyText], files: &[(String, String)]) -> Vec<Flaw> {
    let set = match CedarSet::from_policies(policies.iter().cloned()) {
        Ok(set) => set,
        Err(error) => return vec![Flaw { file: "the policies".to_owned(), line: 0, what: error.to_string() }],
    };
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let place = |id: &PolicyId, told: &dyn Diagnostic| {
        let text = texts.iter().find(|text| text.id == id.to_string());
        let (file, from) = text.map_or(("the policies", 0), |text| (text.file.as_str(), text.line));
        let whole = files.iter().find(|(name, _)| name == file).map_or("", |(_, text)| text.as_str());
        let offset = told.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        // Where that cannot be told more exactly, it is where the policy begins.
        let line = offset.map_or(from, |offset| line_of(whole, offset).max(from));
        Flaw { file: file.to_owned(), line, what: told.to_string() }
    };
    let errors = result.validation_errors().map(|error| place(error.policy_id(), error));
    let warnings = result.validation_warnings().map(|warning| place(warning.policy_id(), warning));
    errors.chain(warnings).collect()
}

fn shape(policy: &Policy) -> String {
    policy.to_json().map(|json| json.to_string()).unwrap_or_default()
}

/// Tells whether an expression knows more of an owner than who it is. That somebody is the owner, or in
/// the group that owns, is told by their own groups.
fn knows_owner(node: &Json) -> bool {
    let is_owner = |node: &Json| node["."]["attr"] == "owner";
    let known = |name: &str, inner: &Json| match name {
        "." => inner["attr"] == "owner" || knows_owner(&inner["left"]),
        "in" if inner["left"]["Var"] == "principal" && is_owner(&inner["right"]) => false,
        "==" | "!=" => ["left", "right"].iter().any(|side| !is_owner(&inner[side]) && knows_owner(&inner[side])),
        _ => knows_owner(inner),
    };
    match node {
        Json::Object(fields) => fields.iter().any(|(name, inner)| known(name, inner)),
        Json::Array(items) => items.iter().any(knows_owner),
        _ => false,
    }
}

fn speaks_of(policy: &Policy, action: Action) -> bool {
    let uid = EntityUid::from_str(&format!("Dapple::Action::\"{}\"", action.cedar())).expect("a name of an action");
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(one) => one == uid,
        ActionConstraint::In(some) => some.contains(&uid),
    }
}
