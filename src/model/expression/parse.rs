//! Reads endpoint expressions, and says of a wrong one what was expected where.

use crate::model::expression::{
    Chain, EXPRESSION_CHARS_MAX, EXPRESSION_NESTING_MAX, InvalidExpression, Operator, Primitive, Term, read_number,
};

/// What a term can begin with, for messages.
const TERM: &str = "an endpoint name, `attribute=value`, `*` or `(`";

/// Reads a whole text as one expression.
pub(super) fn parse(text: &str) -> Result<Chain, InvalidExpression> {
    let mut parser = Parser { chars: text.chars().take(EXPRESSION_CHARS_MAX + 1).collect(), at: 0, open: Vec::new() };
    if parser.chars.len() > EXPRESSION_CHARS_MAX {
        let message = format!("an endpoint expression has at most {EXPRESSION_CHARS_MAX} characters");
        return Err(parser.error_at(EXPRESSION_CHARS_MAX, message));
    }
    let chain = parser.chain()?;
    match parser.peek() {
        None => Ok(chain),
        Some(')') => Err(parser.error("there is no `(` that this `)` could close")),
        Some(_) => Err(parser.error("expected `|`, `&`, `\\` or the end of the expression")),
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    /// Where parentheses were opened that are not closed yet.
    open: Vec<usize>,
}

impl Parser {
    fn chain(&mut self) -> Result<Chain, InvalidExpression> {
        let first = self.term()?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator() {
            rest.push((operator, self.term()?));
        }
        Ok(Chain { first, rest })
    }

    fn operator(&mut self) -> Option<Operator> {
        let operator = match self.peek()? {
            '|' => Operator::Union,
            '&' => Operator::Intersection,
            '\\' => Operator::Difference,
            _ => return None,
        };
        self.at += 1;
        Some(operator)
    }

    fn term(&mut self) -> Result<Term, InvalidExpression> {
        match self.peek() {
            Some('(') => self.group(),
            Some('*') => {
                self.at += 1;
                Ok(Term::Primitive(Primitive::All))
            }
            Some(letter) if is_of_key(letter) => self.primitive().map(Term::Primitive),
            Some(')') if !self.open.is_empty() => Err(self.error(format!("expected {TERM} before this `)`"))),
            Some(_) => Err(self.error(format!("expected {TERM}"))),
            None if self.chars.is_empty() => Err(self.error(format!("the expression is empty: expected {TERM}"))),
            None => Err(self.error(format!("the expression ends early: expected {TERM}"))),
        }
    }

    fn group(&mut self) -> Result<Term, InvalidExpression> {
        if self.open.len() == EXPRESSION_NESTING_MAX {
            return Err(self.error(format!("parentheses nest at most {EXPRESSION_NESTING_MAX} deep")));
        }
        self.open.push(self.at);
        self.at += 1;
        let chain = self.chain()?;
        let opened = self.open.pop().expect("pushed above, and every group pops its own") + 1;
        match self.peek() {
            Some(')') => {
                self.at += 1;
                Ok(Term::Group(Box::new(chain)))
            }
            _ => Err(self.error(format!("expected `|`, `&`, `\\`, or `)` for the `(` at character {opened}"))),
        }
    }

    fn primitive(&mut self) -> Result<Primitive, InvalidExpression> {
        let start = self.at;
        let key = self.take_while(is_of_key);
        let Some(sign @ ('=' | '<' | '>')) = self.peek() else {
            return self.name(start, key);
        };
        self.at += 1;
        let value_start = self.at;
        let value = self.take_while(is_of_value);
        if value.is_empty() {
            return Err(self.error(format!("expected a value after `{key}{sign}`")));
        }
        if self.peek() == Some('.') {
            return Err(self.error("a value has letters, digits, `_` and `-` only"));
        }
        if sign == '=' {
            return Ok(Primitive::Equal { key, value });
        }
        match read_number(&value) {
            Some(bound) if sign == '<' => Ok(Primitive::Less { key, value, bound }),
            Some(bound) => Ok(Primitive::Greater { key, value, bound }),
            None => {
                let message = format!("expected a number after `{key}{sign}`, as only numbers have an order");
                Err(self.error_at(value_start, message))
            }
        }
    }

    /// Accepts a bare word, which has a stricter shape than an attribute's key.
    fn name(&self, start: usize, word: String) -> Result<Primitive, InvalidExpression> {
        let mut after_letter = false;
        for (offset, letter) in word.chars().enumerate() {
            if letter == '.' {
                let message = "a name has no `.`; for an attribute write `attribute=value`";
                return Err(self.error_at(start + offset, message));
            }
            let is_letter = letter.is_ascii_alphanumeric();
            if !is_letter && !after_letter {
                return Err(self.error_at(start + offset, "expected a letter or digit here in a name"));
            }
            after_letter = is_letter;
        }
        if after_letter { Ok(Primitive::Name(word)) } else { Err(self.error("a name ends with a letter or digit")) }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take_while(&mut self, accepts: impl Fn(char) -> bool) -> String {
        let taken: String = self.chars[self.at..].iter().take_while(|c| accepts(**c)).collect();
        // Only ASCII is accepted, so bytes are characters.
        self.at += taken.len();
        taken
    }

    /// The error at the reader's place. White space is the commonest mistake and has its own words.
    fn error(&self, expected: impl Into<String>) -> InvalidExpression {
        match self.peek() {
            Some(c) if c.is_whitespace() => {
                self.error_at(self.at, "an endpoint expression has no spaces: remove the one at the caret")
            }
            _ => self.error_at(self.at, expected),
        }
    }

    fn error_at(&self, index: usize, message: impl Into<String>) -> InvalidExpression {
        let show = |c: &char| if c.is_control() { ' ' } else { *c };
        InvalidExpression { message: message.into(), text: self.chars.iter().map(show).collect(), column: index + 1 }
    }
}

fn is_of_key(letter: char) -> bool {
    is_of_value(letter) || letter == '.'
}

fn is_of_value(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}
