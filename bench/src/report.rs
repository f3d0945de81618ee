//! What was measured: every round, beside the round of a peer that ran next to it; as a table and as JSON.

use crate::goal::Goal;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// Of microseconds.
    pub(crate) fn of(micros: &Histogram<u64>) -> Self {
        let millis = |micros: u64| micros as f64 / 1e3;
        Self {
            p50: millis(micros.value_at_quantile(0.5)),
            p99: millis(micros.value_at_quantile(0.99)),
            max: millis(micros.max()),
        }
    }
}

/// What came of publishing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    /// Of requests.
    pub(crate) latency: Latency,
}

impl Published {
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}

/// One thing that is measured, in the order of the table.
#[derive(Default)]
struct Measure {
    name: String,
    unit: &'static str,
    ours: Vec<f64>,
    /// By peer: our round, and theirs beside it.
    peers: BTreeMap<&'static str, Vec<(f64, f64)>>,
    goals: Vec<Goal>,
}

impl Measure {
    /// Each goal, and whether it is reached.
    fn goals(&self) -> impl Iterator<Item = (&Goal, Option<bool>)> {
        let (median, ratio) = (median(&self.ours), |peer: &str| {
            self.peers.get(peer).map(|pairs| ratio(pairs))
        });
        self.goals.iter().map(move |goal| (goal, goal.reached(median, ratio)))
    }
}

#[derive(Default)]
pub(crate) struct Report {
    measures: Vec<Measure>,
}

impl Report {
    /// Adds a round of ours.
    pub(crate) fn ours(&mut self, name: &str, unit: &'static str, value: f64) {
        eprintln!("{name}: {} {unit}", short(value));
        self.measure(name, unit).ours.push(value);
    }

    /// Adds a round of a peer's; the last of ours was the one beside it.
    pub(crate) fn peer(&mut self, name: &str, unit: &'static str, peer: &'static str, value: f64) {
        eprintln!("{name}: {} {unit} ({peer})", short(value));
        let measure = self.measure(name, unit);
        let ours = measure.ours.last().copied().unwrap_or(f64::NAN);
        measure.peers.entry(peer).or_default().push((ours, value));
    }

    /// Says what a measure is to reach. One that has no round has no goal.
    pub(crate) fn goal(&mut self, name: &str, goal: Goal) {
        let found = self.measures.iter_mut().find(|measure| measure.name == name);
        found.into_iter().for_each(|measure| measure.goals.push(goal));
    }

    fn measure(&mut self, name: &str, unit: &'static str) -> &mut Measure {
        let at = self.measures.iter().position(|measure| measure.name == name);
        let at = at.unwrap_or_else(|| {
            let name = name.to_owned();
            self.measures.push(Measure {
                name,
                unit,
                ..Measure::default()
            });
            self.measures.len() - 1
        });
        &mut self.measures[at]
    }

    /// A table in Markdown: medians with the least and the greatest, how many times a peer's figure ours is, and goals where
    /// there are any.
    pub(crate) fn table(&self) -> String {
        let mut names: Vec<&str> = self.measures.iter().flat_map(|m| m.peers.keys().copied()).collect();
        names.sort_unstable();
        names.dedup();
        let has_goals = self.measures.iter().any(|measure| !measure.goals.is_empty());
        let heads = names.iter().copied().chain(has_goals.then_some("goal"));
        let mut out = format!(
            "| | Ondol |{}\n|---|---|{}\n",
            heads.map(|head| format!(" {head} |")).collect::<String>(),
            "---|".repeat(names.len() + usize::from(has_goals))
        );
        for measure in &self.measures {
            let mut line = format!("| {}, {} | {} |", measure.name, measure.unit, spread(&measure.ours));
            for name in &names {
                line += &measure.peers.get(name).map_or(" |".to_owned(), |pairs| {
                    let theirs: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
                    format!(" {}; Ondol × {:.2} |", spread(&theirs), ratio(pairs))
                });
            }
            if has_goals {
                let goals: Vec<_> = measure.goals().map(|(goal, reached)| goal.cell(reached)).collect();
                line += &format!(" {} |", goals.join("; "));
            }
            out += &(line + "\n");
        }
        out
    }

    /// The same, with every round.
    pub(crate) fn json(&self) -> Value {
        let measures = self.measures.iter().map(|measure| {
            let peers: serde_json::Map<String, Value> = measure
                .peers
                .iter()
                .map(|(name, pairs)| {
                    let rounds: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
                    let told = json!({ "median": median(&rounds), "rounds": rounds, "ratio": ratio(pairs) });
                    ((*name).to_owned(), told)
                })
                .collect();
            let ondol = json!({ "median": median(&measure.ours), "rounds": measure.ours });
            let goals: Vec<_> = measure.goals().map(|(goal, reached)| goal.json(reached)).collect();
            json!({ "measure": measure.name, "unit": measure.unit, "ondol": ondol, "peers": peers, "goals": goals })
        });
        json!({ "measures": measures.collect::<Vec<_>>() })
    }
}

/// Of each round of ours and the round beside it: the median of what ours is in theirs.
fn ratio(pairs: &[(f64, f64)]) -> f64 {
    median(&pairs.iter().map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn spread(values: &[f64]) -> String {
    let (least, most) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(*value), most.max(*value))
        });
    match values {
        [one] => short(*one),
        _ => format!("{} ({} to {})", short(median(values)), short(least), short(most)),
    }
}

/// Three digits that mean something, and thousands with a comma.
fn short(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.*}", if value < 10.0 { 2 } else { 1 });
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_neighbours_and_not_of_medians() {
        let mut report = Report::default();
        for (ours, theirs) in [(100.0, 50.0), (300.0, 100.0), (1_234_567.0, 1_234_567.0)] {
            report.ours("rows", "per second", ours);
            report.peer("rows", "per second", "Other", theirs);
        }
        report.ours("alone", "ms", 1.5);
        let told = report.json();
        assert_eq!(told["measures"][0]["peers"]["Other"]["ratio"], 2.0);
        assert_eq!(
            report.table(),
            "| | Ondol | Other |\n|---|---|---|\n\
             | rows, per second | 300 (100 to 1,234,567) | 100 (50.0 to 1,234,567); Ondol × 2.00 |\n\
             | alone, ms | 1.50 | |\n"
        );
    }

    #[test]
    fn goals_are_judged_by_the_ratio_of_a_peer_or_by_the_median() {
        let mut report = Report::default();
        for ours in [10.0, 30.0, 20.0] {
            report.ours("cost", "µs", ours);
            report.peer("cost", "µs", "Other", 20.0);
        }
        let goals = [
            (Goal::Times("Other", 1.0), Some(true)),
            (Goal::Times("Other", 0.9), Some(false)),
            (Goal::Times("Absent", 1.0), None),
            (Goal::AtMost(20.0), Some(true)),
            (Goal::AtMost(19.0), Some(false)),
            (Goal::AtLeast(20.0), Some(true)),
            (Goal::AtLeast(21.0), Some(false)),
        ];
        goals.iter().for_each(|(goal, _)| report.goal("cost", *goal));
        report.goal("never measured", Goal::AtMost(1.0));
        let told = report.json();
        let reached = goals.map(|(_, reached)| json!(reached));
        let of = |told: &Value| told["reached"].clone();
        let seen: Vec<_> = told["measures"][0]["goals"]
            .as_array()
            .expect("a list")
            .iter()
            .map(of)
            .collect();
        assert_eq!(seen, reached);
        report.ours("free", "µs", 1.0);
        assert_eq!(
            report.table(),
            "| | Ondol | Other | goal |\n|---|---|---|---|\n\
             | cost, µs | 20.0 (10.0 to 30.0) | 20.0 (20.0 to 20.0); Ondol × 1.00 | ≤ × 1 of Other: reached; \
             ≤ × 0.9 of Other: missed; ≤ × 1 of Absent: not measured; ≤ 20: reached; ≤ 19: missed; ≥ 20: reached; \
             ≥ 21: missed |\n| free, µs | 1.00 | |  |\n"
        );
    }
}
