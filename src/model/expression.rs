//! Endpoint expressions: set algebra over endpoint names and attributes, such as
//! `tier=1&(country=DE|country=FR)\trust=low`. The grammar is Rucio's, to the character:
//!
//! ```text
//! expression := term ( ("|" | "&" | "\") term )*       no precedence: strictly from the left
//! term       := "(" expression ")" | "*" | name | comparison
//! name       := letters and digits joined by single "-" or "_"; an endpoint, or an attribute that is true
//! comparison := [A-Za-z0-9._-]+ ("=" | "<" | ">") [A-Za-z0-9_-]+
//! ```
//!
//! An expression is judged for each endpoint by itself, so the answer is the same whatever else the
//! lake holds, and comes in the order in which the endpoints were given.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::endpoint::{Endpoint, EndpointName};

mod parse;
#[cfg(test)]
mod tests;

/// The most characters an expression may have.
pub const EXPRESSION_CHARS_MAX: usize = 1_000;
/// How deep parentheses may be nested.
pub const EXPRESSION_NESTING_MAX: usize = 50;

/// A parsed endpoint expression; it keeps the text it was read from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    text: String,
    chain: Chain,
}

impl Expression {
    /// Reads an expression; an error points at the character that does not fit.
    pub fn parse(text: &str) -> Result<Self, InvalidExpression> {
        let chain = parse::parse(text)?;
        Ok(Self { text: text.to_owned(), chain })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether it selects an endpoint.
    pub fn matches(&self, endpoint: &Endpoint) -> bool {
        self.chain.matches(endpoint)
    }

    /// The endpoints that it selects, in the order in which they were given.
    pub fn select<'a>(&self, endpoints: &'a [Endpoint]) -> Vec<&'a Endpoint> {
        endpoints.iter().filter(|endpoint| self.matches(endpoint)).collect()
    }

    /// Which endpoints each primitive matches by itself, in the order in which they are written.
    pub fn explain(&self, endpoints: &[Endpoint]) -> Vec<(String, Vec<EndpointName>)> {
        let mut primitives = Vec::new();
        self.chain.collect_primitives(&mut primitives);
        primitives
            .into_iter()
            .map(|primitive| {
                let matching = endpoints.iter().filter(|endpoint| primitive.matches(endpoint));
                (primitive.to_string(), matching.map(|e| e.name.clone()).collect())
            })
            .collect()
    }
}

// The text decides: equal texts have equal meanings.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Expression {
    type Error = InvalidExpression;

    fn try_from(text: String) -> Result<Self, InvalidExpression> {
        Self::parse(&text)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.text
    }
}

/// The text is not an endpoint expression. Shown as three lines: what is wrong, the text, and a
/// caret below the character in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidExpression {
    message: String,
    text: String,
    column: usize,
}

impl InvalidExpression {
    /// What is wrong, and what was expected instead.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Which character is wrong, counted from 1; one behind the last if the text ends early.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for InvalidExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What stands before the caret is ASCII, or it would have been the error, so columns line up.
        let caret = format!("{:>width$}", '^', width = self.column);
        write!(f, "{}\n{}\n{caret}", self.message, self.text)
    }
}

impl std::error::Error for InvalidExpression {}

/// Terms joined by operators, worked off from the left. Depth is that of the parentheses, so
/// [`EXPRESSION_NESTING_MAX`] bounds every walk.
#[derive(Debug, Clone)]
struct Chain {
    first: Term,
    rest: Vec<(Operator, Term)>,
}

#[derive(Debug, Clone)]
enum Term {
    Primitive(Primitive),
    Group(Box<Chain>),
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Union,
    Intersection,
    Difference,
}

#[derive(Debug, Clone)]
enum Primitive {
    All,
    Name(String),
    Equal { key: String, value: String },
    Less { key: String, value: String, bound: f64 },
    Greater { key: String, value: String, bound: f64 },
}

impl Chain {
    fn matches(&self, endpoint: &Endpoint) -> bool {
        self.rest.iter().fold(self.first.matches(endpoint), |so_far, (operator, term)| match operator {
            Operator::Union => so_far || term.matches(endpoint),
            Operator::Intersection => so_far && term.matches(endpoint),
            Operator::Difference => so_far && !term.matches(endpoint),
        })
    }

    fn collect_primitives<'a>(&'a self, into: &mut Vec<&'a Primitive>) {
        for term in std::iter::once(&self.first).chain(self.rest.iter().map(|(_, term)| term)) {
            match term {
                Term::Primitive(primitive) => into.push(primitive),
                Term::Group(chain) => chain.collect_primitives(into),
            }
        }
    }
}

impl Term {
    fn matches(&self, endpoint: &Endpoint) -> bool {
        match self {
            Term::Primitive(primitive) => primitive.matches(endpoint),
            Term::Group(chain) => chain.matches(endpoint),
        }
    }
}

impl Primitive {
    fn matches(&self, endpoint: &Endpoint) -> bool {
        match self {
            Primitive::All => true,
            Primitive::Name(name) => {
                endpoint.name.as_str() == name || matches!(endpoint.attribute(name), Some("True" | "true"))
            }
            Primitive::Equal { key, value } => endpoint.attribute(key) == Some(value),
            Primitive::Less { key, bound, .. } => number_of(endpoint, key).is_some_and(|n| n < *bound),
            Primitive::Greater { key, bound, .. } => number_of(endpoint, key).is_some_and(|n| n > *bound),
        }
    }
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Primitive::All => f.write_str("*"),
            Primitive::Name(name) => f.write_str(name),
            Primitive::Equal { key, value } => write!(f, "{key}={value}"),
            Primitive::Less { key, value, .. } => write!(f, "{key}<{value}"),
            Primitive::Greater { key, value, .. } => write!(f, "{key}>{value}"),
        }
    }
}

fn number_of(endpoint: &Endpoint, key: &str) -> Option<f64> {
    endpoint.attribute(key).and_then(read_number)
}

/// Words such as `nan` and `inf` are numbers to many parsers; here they are words.
fn read_number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
