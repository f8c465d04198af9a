//! Endpoint expressions.

use serde::{Deserialize, Serialize};

use crate::model::endpoint::Endpoint;

/// A parsed endpoint expression; it keeps the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    text: String,
}

/// placeholder
#[derive(Debug, Clone, thiserror::Error)]
#[error("placeholder")]
pub struct InvalidExpression;

impl Expression {
    /// placeholder
    pub fn parse(text: &str) -> Result<Self, InvalidExpression> {
        Ok(Self { text: text.to_owned() })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The endpoints that it selects.
    pub fn select<'a>(&self, endpoints: &'a [Endpoint]) -> Vec<&'a Endpoint> {
        endpoints.iter().collect()
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
