//! Rules: whether what the sources say of a key fits together. Pure.
//!
//! A key of which something changed lately is *moving* and is not judged: its parts were read one after another, and what
//! they say may be of different moments. Tests: beside it, as a table.

use super::config::{Condition, Reconciliation, Repair, Wanted};
use super::merge::Row;
use super::template::{self, Reference, Template};
use ondol_core::clock::Timestamp;
use ondol_core::id::SagaName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Reasons that are kept of one key.
const REASONS: usize = 8;

/// What is wrong with a key.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// What was expected and is not so, a line each.
    pub(crate) why: Vec<String>,
    /// What the broken rules look at: `orders.status` and its value, `charges` and `absent`.
    pub(crate) values: BTreeMap<String, Value>,
    /// What would mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mend: Option<Mend>,
}

/// A saga that is to be started.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Mend {
    pub(crate) saga: SagaName,
    pub(crate) input: Value,
}

/// What a key is found to be.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Verdict {
    /// Something of it changed too lately to be judged.
    Moving,
    Holds,
    Broken(Finding),
}

/// A reconciliation ready to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Names of the sources, in the order of their numbers.
    names: Vec<String>,
    /// Members of each that are compared.
    fields: Vec<Vec<String>>,
    rules: Vec<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    when: Vec<Test>,
    expect: Vec<Test>,
    repair: Option<Repair>,
}

#[derive(Debug)]
struct Test {
    source: String,
    field: Option<String>,
    is: Is,
}

#[derive(Debug)]
enum Is {
    Present,
    Absent,
    OneOf(Vec<Operand>),
}

#[derive(Debug)]
enum Operand {
    Fixed(Value),
    Filled(Template),
}

impl Plan {
    /// Takes a reconciliation apart.
    ///
    /// # Errors
    /// Words about a template or a source that is none; `ondol check` has refused both.
    pub(crate) fn compile(config: &Reconciliation) -> Result<Self, String> {
        let names: Vec<String> = config.sources.keys().cloned().collect();
        let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
        let mut rules = Vec::with_capacity(config.rules.len());
        for rule in &config.rules {
            let compiled = Compiled {
                when: tests(&rule.when)?,
                expect: tests(&rule.expect)?,
                repair: rule.repair.clone(),
            };
            if let Some(repair) = &rule.repair {
                let mut fail = None;
                each_text(&repair.input, &mut |text| match template::parse(text) {
                    Ok(template) => wanted.extend(template.references().filter_map(|one| one.field.clone())),
                    Err(error) => fail = Some(error.to_string()),
                });
                fail.map_or(Ok(()), Err)?;
            }
            for test in compiled.when.iter().chain(&compiled.expect) {
                wanted.extend(test.looks_at().filter_map(|(source, field)| Some((source, field?))));
            }
            rules.push(compiled);
        }
        let known = |source: &String| names.contains(source);
        let named = rules.iter().flat_map(|rule| rule.when.iter().chain(&rule.expect));
        let named = named
            .map(|test| &test.source)
            .chain(wanted.iter().map(|(source, _)| source));
        if let Some(unknown) = { named }.find(|source| !known(source)) {
            return Err(format!("there is no source {unknown}"));
        }
        let of = |name: &String| {
            wanted
                .iter()
                .filter(|(source, _)| source == name)
                .map(|(_, field)| field.clone())
                .collect()
        };
        let fields = names.iter().map(of).collect();
        Ok(Self { names, fields, rules })
    }

    /// Names of the sources, in the order of their numbers.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Members of this source that are compared.
    pub(crate) fn fields(&self, source: usize) -> &[String] {
        self.fields.get(source).map(Vec::as_slice).unwrap_or_default()
    }

    /// Judges a key; what changed after `rest` is moving.
    pub(crate) fn judge(&self, row: &Row, rest: Timestamp) -> Verdict {
        let moving = |at: Timestamp| at > rest;
        if row.items.iter().flatten().any(|item| item.at.is_some_and(moving)) {
            return Verdict::Moving;
        }
        let seen = Seen { plan: self, row };
        let mut finding = Finding::default();
        for rule in &self.rules {
            if !rule.when.iter().all(|test| seen.holds(test)) {
                continue;
            }
            let broken: Vec<&Test> = rule.expect.iter().filter(|test| !seen.holds(test)).collect();
            if broken.is_empty() {
                continue;
            }
            for why in broken.iter().map(|test| seen.told(test)) {
                if finding.why.len() < REASONS && !finding.why.contains(&why) {
                    finding.why.push(why);
                }
            }
            for (source, field) in rule.when.iter().chain(&rule.expect).flat_map(Test::looks_at) {
                seen.mention(&source, field.as_deref(), &mut finding.values);
            }
            if finding.mend.is_none() {
                finding.mend = rule.repair.as_ref().map(|repair| Mend {
                    saga: repair.saga.clone(),
                    input: seen.filled(&repair.input),
                });
            }
        }
        if finding.why.is_empty() {
            Verdict::Holds
        } else {
            Verdict::Broken(finding)
        }
    }
}

fn tests(conditions: &[Condition]) -> Result<Vec<Test>, String> {
    let operand = |value: &Value| match value {
        Value::String(text) => template::parse(text)
            .map(Operand::Filled)
            .map_err(|error| error.to_string()),
        other => Ok(Operand::Fixed(other.clone())),
    };
    let test = |condition: &Condition| {
        let is = match &condition.wanted {
            Wanted::Present => Is::Present,
            Wanted::Absent => Is::Absent,
            Wanted::OneOf(values) => Is::OneOf(values.iter().map(operand).collect::<Result<_, _>>()?),
        };
        Ok(Test {
            source: condition.source.clone(),
            field: condition.field.clone(),
            is,
        })
    };
    conditions.iter().map(test).collect()
}

impl Test {
    /// Every item and member that it looks at.
    fn looks_at(&self) -> impl Iterator<Item = (String, Option<String>)> + '_ {
        let operands = match &self.is {
            Is::OneOf(operands) => operands.as_slice(),
            Is::Present | Is::Absent => &[],
        };
        let named = operands.iter().flat_map(|operand| match operand {
            Operand::Filled(template) => template.references().filter_map(|one| one.field.clone()).collect(),
            Operand::Fixed(_) => Vec::new(),
        });
        let named = named.map(|(source, field)| (source, Some(field)));
        std::iter::once((self.source.clone(), self.field.clone())).chain(named)
    }
}

/// A key as the sources see it.
struct Seen<'a> {
    plan: &'a Plan,
    row: &'a Row,
}

impl Seen<'_> {
    fn is_there(&self, source: &str) -> bool {
        self.item(source).is_some()
    }

    fn item(&self, source: &str) -> Option<(usize, &[Value])> {
        let number = self.plan.names.iter().position(|name| name == source)?;
        let item = self.row.items.get(number)?.as_ref()?;
        Some((number, &item.fields))
    }

    /// A member that has a value.
    fn value(&self, source: &str, field: &str) -> Option<&Value> {
        let (number, values) = self.item(source)?;
        let place = self.plan.fields(number).iter().position(|name| name == field)?;
        values.get(place).filter(|value| !value.is_null())
    }

    fn look(&self, reference: &Reference) -> Option<Value> {
        match &reference.field {
            None => Some(Value::String(self.row.key.clone())),
            Some((source, field)) => self.value(source, field).cloned(),
        }
    }

    fn operand(&self, operand: &Operand) -> Option<Value> {
        match operand {
            Operand::Fixed(value) => Some(value.clone()),
            Operand::Filled(template) => template.fill(|reference| self.look(reference)),
        }
    }

    /// What is not there is equal to nothing, not even to something else that is not there.
    fn holds(&self, test: &Test) -> bool {
        match (&test.is, &test.field) {
            (Is::Present, _) => self.is_there(&test.source),
            (Is::Absent, _) => !self.is_there(&test.source),
            (Is::OneOf(operands), Some(field)) => self.value(&test.source, field).is_some_and(|value| {
                let mut wanted = operands.iter().filter_map(|operand| self.operand(operand));
                wanted.any(|wanted| same(value, &wanted))
            }),
            (Is::OneOf(_), None) => false,
        }
    }

    fn told(&self, test: &Test) -> String {
        let Some(field) = test.field.as_deref().filter(|_| self.is_there(&test.source)) else {
            let (is, wanted) = match test.is {
                Is::Absent => ("present", "absent"),
                Is::Present | Is::OneOf(_) => ("absent", "present"),
            };
            return format!("{}: {is}, expected {wanted}", test.source);
        };
        let shown = |value: Option<Value>| value.map_or("nothing".to_owned(), |value| value.to_string());
        let is = shown(self.value(&test.source, field).cloned());
        let wanted: Vec<String> = match &test.is {
            Is::OneOf(operands) => operands.iter().map(|operand| shown(self.operand(operand))).collect(),
            Is::Present | Is::Absent => Vec::new(),
        };
        format!("{}.{field}: {is}, expected {}", test.source, wanted.join(" or "))
    }

    fn mention(&self, source: &str, field: Option<&str>, values: &mut BTreeMap<String, Value>) {
        match field.filter(|_| self.is_there(source)) {
            Some(field) => {
                let value = self.value(source, field).cloned().unwrap_or(Value::Null);
                values.insert(format!("{source}.{field}"), value);
            }
            None => {
                let word = if self.is_there(source) { "present" } else { "absent" };
                values.insert(source.to_owned(), word.into());
            }
        }
    }

    /// With every template in place; what has no value is null, which the saga's own schema may refuse.
    fn filled(&self, input: &Value) -> Value {
        match input {
            Value::String(text) => template::parse(text)
                .ok()
                .and_then(|template| template.fill(|reference| self.look(reference)))
                .unwrap_or(Value::Null),
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(members) => {
                let filled = members.iter().map(|(name, value)| (name.clone(), self.filled(value)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }
}

/// Calls `with` for every text in a value.
fn each_text(value: &Value, with: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => with(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, with)),
        Value::Object(members) => members.values().for_each(|item| each_text(item, with)),
        _ => {}
    }
}

/// Equal values; numbers by what they come to, so that `5` is `5.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || (x.is_f64() || y.is_f64()) && x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests;
