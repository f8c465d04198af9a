//! Conditions on fields as people write them: `KEY=VALUE`, or with `!=`, `<`, `<=`, `>` or `>=`.

use std::str::FromStr;

use serde_json::{Map, Value, json};

/// A condition on one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The path of the field.
    pub field: String,
    /// How its value relates to the one that is named.
    pub relation: Relation,
    /// A number, a text or a truth value.
    pub value: Value,
}

/// How two values relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `=`
    Is,
    /// `!=`
    IsNot,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Relation {
    /// Its name in queries of STAC.
    pub fn name(self) -> &'static str {
        match self {
            Relation::Is => "eq",
            Relation::IsNot => "neq",
            Relation::Less => "lt",
            Relation::AtMost => "lte",
            Relation::Greater => "gt",
            Relation::AtLeast => "gte",
        }
    }
}

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCondition {
    /// It is not made as conditions are.
    #[error(
        "`{0}` is not a condition; write KEY=VALUE, or with !=, <, <=, > or >= between them, such as `eo:cloud_cover<=10`"
    )]
    Shape(String),
    /// Two conditions contradict or repeat each other.
    #[error("`{field}` is asked twice with the same sign; leave one of the two out")]
    Twice {
        /// The field.
        field: String,
    },
}

impl FromStr for Condition {
    type Err = InvalidCondition;

    fn from_str(text: &str) -> Result<Self, InvalidCondition> {
        let wrong = || InvalidCondition::Shape(text.to_owned());
        let (head, rest) = text.split_at(text.find(['=', '<', '>']).ok_or_else(wrong)?);
        let signs =
            [("<=", Relation::AtMost), (">=", Relation::AtLeast), ("<", Relation::Less), (">", Relation::Greater)];
        let (field, relation, value) = match (head.strip_suffix('!'), rest.strip_prefix('=')) {
            (Some(field), Some(value)) => (field, Relation::IsNot, value),
            (None, Some(value)) => (head, Relation::Is, value),
            (_, None) => {
                let known = signs.iter().find_map(|(sign, relation)| Some((rest.strip_prefix(sign)?, *relation)));
                let (value, relation) = known.ok_or_else(wrong)?;
                (head, relation, value)
            }
        };
        let (field, value) = (field.trim(), value.trim());
        if field.is_empty() || value.is_empty() {
            return Err(wrong());
        }
        Ok(Self { field: field.to_owned(), relation, value: scalar(value) })
    }
}

/// A number, truth value or text of JSON; all else is a text as it stands.
fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::String(_))) => value,
        _ => text.into(),
    }
}

/// Conditions as the parameter `query` of STAC has them.
pub fn to_query(conditions: &[Condition]) -> Result<Value, InvalidCondition> {
    let mut fields = Map::new();
    for Condition { field, relation, value } in conditions {
        let tests = fields.entry(field.clone()).or_insert_with(|| json!({}));
        let tests = tests.as_object_mut().expect("made above");
        if tests.insert(relation.name().to_owned(), value.clone()).is_some() {
            return Err(InvalidCondition::Twice { field: field.clone() });
        }
    }
    Ok(fields.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_or_refused() {
        let table = [
            ("a=b", ("a", "eq", json!("b"))),
            ("eo:cloud_cover <= 10", ("eo:cloud_cover", "lte", json!(10))),
            ("n<1.5", ("n", "lt", json!(1.5))),
            ("n>=-2", ("n", "gte", json!(-2))),
            ("n>2", ("n", "gt", json!(2))),
            ("a!=b=c", ("a", "neq", json!("b=c"))),
            ("synthetic=true", ("synthetic", "eq", json!(true))),
            ("year=\"2024\"", ("year", "eq", json!("2024"))),
            ("a=null", ("a", "eq", json!("null"))),
            ("a=[1]", ("a", "eq", json!("[1]"))),
        ];
        for (text, (field, name, value)) in table {
            let read: Condition = text.parse().expect(text);
            assert_eq!((read.field.as_str(), read.relation.name(), read.value), (field, name, value), "{text}");
        }
        for text in ["", "a", "=b", "a=", "<", "a<=", "!=b"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }

    #[test]
    fn conditions_come_together_by_field() {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("good")).collect::<Vec<Condition>>();
        let query = to_query(&read(&["n>1", "n<5", "a=b"])).expect("good");
        assert_eq!(query, json!({ "n": { "gt": 1, "lt": 5 }, "a": { "eq": "b" } }));
        let twice = to_query(&read(&["n=1", "n=2"])).expect_err("never both");
        assert_eq!(twice.to_string(), "`n` is asked twice with the same sign; leave one of the two out");
    }
}
