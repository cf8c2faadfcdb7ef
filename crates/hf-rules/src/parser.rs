//! From text to rules. After a fault in one rule, reading goes on behind its semicolon.

use crate::lexer::{Lexer, Token};
use crate::problem::{Kind, Problem, short};
use crate::rule::{Action, Compare, Condition, Id, Operand, Reference, Rule, Side, Span, Word};
use hf_types::catalogue::Class;
use hf_types::nearest;
use std::ops::Range;

/// The longest text that is read, in bytes.
pub const TEXT_MAX: usize = 64 * 1024;
/// The most rules in one text.
pub const RULES_MAX: usize = 500;
/// How deep parentheses and `!` may lie inside each other.
pub const DEPTH_MAX: usize = 50;
/// More findings than anybody repairs in one go.
const PROBLEMS_MAX: usize = 100;
/// The longest label in bytes: `rule.<label>` is a resource.
const LABEL_MAX: usize = 100;
/// The longest name of a resource in bytes.
const NAME_MAX: usize = 128;
/// A `handle_time` beyond a day is a slip.
const HANDLE_TIME_MAX_MS: u64 = 24 * 3_600_000;

const STATES: &str = "init, up, down, unknown; on, off for a setting";
const ACTIONS: &str = "stop(), stopstart(), wait(), restart(), swap(), wakeup()";

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The rules that could be read, in the order of the text.
    pub rules: Vec<Rule>,
    /// What is wrong with the others.
    pub problems: Vec<Problem>,
}

/// Reads a text of rules.
pub fn parse(text: &str) -> Parsed {
    if text.len() > TEXT_MAX {
        let message = format!("the rules have {} bytes; at most {TEXT_MAX} are read", text.len());
        return Parsed { rules: Vec::new(), problems: vec![Problem::new(Kind::Limit, 0..0, message)] };
    }
    let mut parser = Parser { lexer: Lexer::new(text), token: Token::End, span: 0..0, end: 0, depth: 0 };
    let mut parsed = Parsed::default();
    parser.rules(&mut parsed);
    if let Some(at) = parser.lexer.open_comment {
        let problem = Problem::new(Kind::Syntax, at..at + 2, "this comment never ends").help("end it with */");
        parsed.problems.push(problem);
    }
    parsed.problems.sort_by_key(|problem| problem.span.start);
    parsed
}

/// The text up to here is read; `token` is the next one.
struct Parser<'t> {
    lexer: Lexer<'t>,
    token: Token<'t>,
    span: Range<usize>,
    /// Where the last token that was taken ended.
    end: usize,
    depth: usize,
}

type Found<T> = Result<T, Problem>;

/// A part of a condition before it is known what it is.
enum Term {
    Condition(Condition),
    Operand(Operand),
}

impl<'t> Parser<'t> {
    fn advance(&mut self) {
        self.end = self.span.end;
        (self.token, self.span) = self.lexer.next();
    }

    fn take(&mut self, token: Token) -> bool {
        let found = self.token == token;
        if found {
            self.advance();
        }
        found
    }

    /// What stands here is not what is expected.
    fn unexpected(&self, expected: &str) -> Problem {
        let found = match self.token {
            Token::End => "the end of the rules".to_owned(),
            Token::Word(word) => short(word),
            Token::Open => "(".to_owned(),
            Token::Close => ")".to_owned(),
            Token::OpenBracket => "[".to_owned(),
            Token::CloseBracket => "]".to_owned(),
            Token::Semicolon => ";".to_owned(),
            Token::Not => "!".to_owned(),
            Token::Equal => "==".to_owned(),
            Token::Differs => "!=".to_owned(),
            Token::Assign => "=".to_owned(),
            Token::And => "&&".to_owned(),
            Token::Or => "||".to_owned(),
            Token::Other(c) => c.to_string(),
        };
        let problem = Problem::new(Kind::Syntax, self.span.clone(), format!("{expected} is expected, not {found}"));
        match self.token {
            Token::Other('&') => problem.help("and: &&"),
            Token::Other('|') => problem.help("or: ||"),
            Token::Assign => problem.help("a comparison: == or !="),
            _ => problem,
        }
    }

    fn expect(&mut self, token: Token, expected: &str) -> Found<()> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    // ---- rules -----------------------------------------------------------------------------------------------------

    fn rules(&mut self, parsed: &mut Parsed) {
        while parsed.problems.len() < PROBLEMS_MAX {
            let Some((label, span)) = self.lexer.label() else {
                self.advance();
                match self.token {
                    Token::End => return,
                    Token::Semicolon => continue,
                    _ => {}
                }
                let problem = self.unexpected("the label of a rule");
                parsed.problems.push(problem.help("label: if (condition) then action;"));
                self.skip_rule();
                continue;
            };
            if parsed.rules.len() >= RULES_MAX {
                let message = format!("there are more than {RULES_MAX} rules");
                parsed.problems.push(Problem::new(Kind::Limit, span, message));
                return;
            }
            match self.rule(label, span, &parsed.rules) {
                Ok((rule, doubts)) => {
                    parsed.rules.push(rule);
                    parsed.problems.extend(doubts);
                }
                Err(problem) => {
                    parsed.problems.push(problem);
                    self.skip_rule();
                }
            }
        }
    }

    /// To behind the semicolon that ends this rule.
    fn skip_rule(&mut self) {
        while !matches!(self.token, Token::Semicolon | Token::End) {
            self.advance();
        }
    }

    /// The rule after its label. What is wrong, but leaves no doubt about what was meant, comes beside it.
    fn rule(&mut self, label: &str, span: Range<usize>, before: &[Rule]) -> Found<(Rule, Option<Problem>)> {
        let mut handle_time_ms = None;
        if !self.lexer.colon() {
            self.advance();
            if self.token != Token::OpenBracket {
                let message = format!("a colon is missing after {}", short(label));
                let problem = Problem::new(Kind::Syntax, span, message);
                return Err(problem.help("label: if (condition) then action;"));
            }
            handle_time_ms = Some(self.handle_time()?);
        }
        self.advance();
        check_label(label, &span, before)?;
        self.keyword("if")?;
        if self.token != Token::Open {
            return Err(self.unexpected("( after if").help("the condition stands in parentheses"));
        }
        let condition = self.condition()?;
        self.keyword("then")?;
        let action = self.action()?;
        let doubt = self.end_of_rule();
        Ok((Rule { label: label.to_owned(), place: span.into(), handle_time_ms, condition, action }, doubt))
    }

    /// `[handle_time=3s]:` from its bracket; the colon is taken, and what follows it is not read yet.
    fn handle_time(&mut self) -> Found<u64> {
        self.advance();
        self.expect(Token::Word("handle_time"), "handle_time").map_err(|problem| problem.help("[handle_time=3s]"))?;
        self.expect(Token::Assign, "=").map_err(|problem| problem.help("[handle_time=3s]"))?;
        let time = match self.token {
            Token::Word(word) => duration_ms(word).filter(|ms| *ms <= HANDLE_TIME_MAX_MS),
            _ => None,
        };
        let time = time.ok_or_else(|| {
            self.unexpected("a time up to 24h").help("a number of milliseconds, or with a unit: 700ms, 3s, 5m")
        })?;
        self.advance();
        if self.token != Token::CloseBracket {
            return Err(self.unexpected("]"));
        }
        if self.lexer.colon() {
            return Ok(time);
        }
        self.advance();
        Err(self.unexpected(":"))
    }

    /// The semicolon; what follows it is not read yet.
    fn end_of_rule(&mut self) -> Option<Problem> {
        if self.token == Token::Semicolon {
            return None;
        }
        let problem = Problem::new(Kind::Syntax, self.end..self.end, "; is expected after the action");
        // What follows may be the next rule's label, which is read in a way of its own.
        self.lexer.back_to(self.span.start);
        Some(problem.help("each rule ends with a semicolon"))
    }

    fn keyword(&mut self, word: &'static str) -> Found<()> {
        let help = format!("label: if (condition) then action; ({word} is missing)");
        self.expect(Token::Word(word), word).map_err(|problem| match problem.help {
            Some(_) => problem,
            None => problem.help(help),
        })
    }

    // ---- conditions ------------------------------------------------------------------------------------------------

    fn condition(&mut self) -> Found<Condition> {
        let start = self.span.start;
        let term = self.or()?;
        self.as_condition(term, start)
    }

    /// Binds in this order: `!`, then `==` and `!=`, then `&&`, then `||`.
    fn or(&mut self) -> Found<Term> {
        self.chain(Token::Or, Parser::and, Condition::Or)
    }

    fn and(&mut self) -> Found<Term> {
        self.chain(Token::And, Parser::comparison, Condition::And)
    }

    fn chain(
        &mut self,
        sign: Token,
        part: fn(&mut Self) -> Found<Term>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Found<Term> {
        let start = self.span.start;
        let first = part(self)?;
        if self.token != sign {
            return Ok(first);
        }
        let mut parts = vec![self.as_condition(first, start)?];
        while self.take(sign) {
            let start = self.span.start;
            let next = part(self)?;
            parts.push(self.as_condition(next, start)?);
        }
        Ok(Term::Condition(join(parts)))
    }

    fn comparison(&mut self) -> Found<Term> {
        let start = self.span.start;
        let left = self.unary()?;
        let equal = match self.token {
            Token::Equal => true,
            Token::Differs => false,
            _ => return Ok(left),
        };
        self.advance();
        let right_start = self.span.start;
        let right = self.unary()?;
        let whole = start..self.end;
        if matches!(self.token, Token::Equal | Token::Differs) {
            let problem = Problem::new(Kind::Syntax, self.span.clone(), "two comparisons in a row have no meaning");
            return Err(problem.help("join them with && or ||"));
        }
        match (left, right) {
            (Term::Operand(left), Term::Operand(right)) => compare(left, equal, right, whole),
            (left, right) => {
                let left = Box::new(self.as_condition(left, start)?);
                let right = Box::new(self.as_condition(right, right_start)?);
                Ok(Term::Condition(Condition::Same { left, equal, right }))
            }
        }
    }

    fn unary(&mut self) -> Found<Term> {
        if self.depth >= DEPTH_MAX {
            let message = format!("more than {DEPTH_MAX} parentheses and ! lie inside each other");
            return Err(Problem::new(Kind::Limit, self.span.clone(), message));
        }
        self.depth += 1;
        let term = self.unary_inside();
        self.depth -= 1;
        term
    }

    fn unary_inside(&mut self) -> Found<Term> {
        if self.take(Token::Not) {
            let start = self.span.start;
            let inner = self.unary()?;
            let inner = self.as_condition(inner, start)?;
            return Ok(Term::Condition(Condition::Not(Box::new(inner))));
        }
        if self.take(Token::Open) {
            let inner = self.or()?;
            self.expect(Token::Close, ")")?;
            return Ok(inner);
        }
        self.operand().map(Term::Operand)
    }

    /// What stands from `start` to here must be true or false.
    fn as_condition(&self, term: Term, start: usize) -> Found<Condition> {
        match term {
            Term::Condition(condition) => Ok(condition),
            Term::Operand(operand) => {
                let span = start.min(self.end)..self.end;
                let help = match &operand {
                    Operand::Word(_) => "compare a resource with it, such as custom.x == down".to_owned(),
                    other => format!("compare it, such as {other} == down"),
                };
                Err(Problem::new(Kind::Syntax, span, "this is neither true nor false").help(help))
            }
        }
    }

    fn operand(&mut self) -> Found<Operand> {
        let Token::Word(word) = self.token else {
            return Err(self.unexpected("a resource or a state").help("such as tcp.id == down"));
        };
        let span = self.span.clone();
        self.advance();
        if word == "cluster" {
            self.parentheses("cluster")?;
            return Ok(Operand::Cluster);
        }
        if let Some(state) = Word::ALL.into_iter().find(|state| state.as_str() == word) {
            return Ok(Operand::Word(state));
        }
        if word.contains('.') {
            return reference(word, span).map(Operand::Resource);
        }
        let words = Word::ALL.iter().map(|word| word.as_str()).chain(["cluster"]);
        let help = match nearest(word, words) {
            Some("cluster") => "did you mean cluster()?".to_owned(),
            Some(near) => format!("did you mean {near}?"),
            None => format!("a resource has a class and a name, such as tcp.id; a state is one of {STATES}"),
        };
        Err(Problem::new(Kind::Syntax, span, format!("{} is neither a resource nor a state", short(word))).help(help))
    }

    fn parentheses(&mut self, after: &str) -> Found<()> {
        let help = format!("{after}()");
        self.expect(Token::Open, "(").map_err(|problem| problem.help(help.clone()))?;
        self.expect(Token::Close, ")").map_err(|problem| problem.help(help))
    }

    // ---- actions ---------------------------------------------------------------------------------------------------

    fn action(&mut self) -> Found<Action> {
        let Token::Word(word) = self.token else {
            return Err(self.unexpected("an action").help(ACTIONS));
        };
        let span = self.span.clone();
        self.advance();
        if self.token == Token::Assign || word.contains('.') {
            return self.assignment(word, span);
        }
        let Some(action) = Action::of(word) else {
            let problem = Problem::new(Kind::Syntax, span, format!("{} is no action", short(word)));
            if word == "stopwait" {
                return Err(problem.help("did you mean wait()?"));
            }
            let near = nearest(word, ["stop", "stopstart", "wait", "restart", "swap", "wakeup"]);
            let help = near.map_or(ACTIONS.to_owned(), |near| format!("did you mean {near}()?"));
            return Err(problem.help(help));
        };
        self.parentheses(word)?;
        Ok(action)
    }

    fn assignment(&mut self, name: &str, span: Range<usize>) -> Found<Action> {
        let target = reference(name, span.clone())?;
        let resource = match (target.side, target.name()) {
            (Side::Local, Some(resource)) => resource,
            (Side::Remote, _) => {
                let problem = Problem::new(Kind::Conflict, span, "a resource of the other node can't be set from here");
                return Err(problem.help("the other node has the same rules, and sets its own"));
            }
            (Side::Local, None) => {
                let problem = Problem::new(Kind::Conflict, span, "only one resource can be set, by its name");
                return Err(problem.help("such as custom.x=up"));
            }
        };
        if self.token == Token::Equal {
            return Err(self.unexpected("=").help("to set a resource: custom.x=up"));
        }
        self.expect(Token::Assign, "=").map_err(|problem| problem.help(ACTIONS))?;
        let word = match self.token {
            Token::Word(word) => Word::ALL.into_iter().find(|known| known.as_str() == word),
            _ => None,
        };
        let word = word.ok_or_else(|| self.unexpected("a state").help(format!("one of {STATES}")))?;
        self.advance();
        Ok(Action::Assign { resource, word, place: Span::from(span) })
    }
}

fn compare(left: Operand, equal: bool, right: Operand, whole: Range<usize>) -> Found<Term> {
    let wild = |operand: &Operand| matches!(operand, Operand::Resource(reference) if reference.name().is_none());
    if let (Operand::Word(_), Operand::Word(_)) = (&left, &right) {
        let problem = Problem::new(Kind::Conflict, whole, "two states are compared, which never changes");
        return Err(problem.help("compare a resource with a state"));
    }
    if wild(&left) && wild(&right) {
        let problem = Problem::new(Kind::Conflict, whole, "only one side of a comparison can have * or ?");
        return Err(problem.help("compare each with a state, and join the two with && or ||"));
    }
    Ok(Term::Condition(Condition::Compare(Compare { left, equal, right })))
}

/// `[local.|remote.]class.id`
fn reference(word: &str, span: Range<usize>) -> Found<Reference> {
    let (side, name) = match word.split_once('.') {
        Some(("local", rest)) => (Side::Local, rest),
        Some(("remote", rest)) => (Side::Remote, rest),
        _ => (Side::Local, word),
    };
    let bad = |message: String| Problem::new(Kind::Syntax, span.clone(), message);
    let Some((class, id)) = name.split_once('.') else {
        return Err(bad(format!("{} is no resource", short(word))).help("a class and a name, such as tcp.id"));
    };
    let Some(class) = Class::of(class) else {
        let words = || Class::ALL.iter().map(|class| class.as_str());
        let help = match nearest(class, words()) {
            Some(near) => format!("did you mean {near}.{}?", short(id)),
            None => format!("one of {}", words().collect::<Vec<_>>().join(", ")),
        };
        return Err(bad(format!("there is no class of resources called {}", short(class))).help(help));
    };
    let id = match id {
        "*" => Id::All,
        "?" => Id::Any,
        id if id.contains(['*', '?']) => {
            let class = class.as_str();
            let help = format!("{class}.* (all of them), {class}.? (any one of them), or one by its name");
            return Err(bad("* and ? stand for a whole name".to_owned()).help(help));
        }
        id if id.is_empty() || name.len() > NAME_MAX => {
            return Err(bad(format!("{} is no resource", short(word))).help("a class and a name, such as tcp.id"));
        }
        id => Id::Name(id.to_owned()),
    };
    Ok(Reference { side, class, id, place: span.into() })
}

/// A number of milliseconds, or a number with a unit.
fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

fn check_label(label: &str, span: &Range<usize>, before: &[Rule]) -> Found<()> {
    if label.len() > LABEL_MAX {
        let message = format!("the label has {} characters; at most {LABEL_MAX}", label.len());
        return Err(Problem::new(Kind::Limit, span.clone(), message));
    }
    if before.iter().any(|rule| rule.label == label) {
        let message = format!("there is a rule {label} already");
        return Err(Problem::new(Kind::Duplicate, span.clone(), message).help("give each rule a label of its own"));
    }
    Ok(())
}
