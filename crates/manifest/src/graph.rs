//! Who needs whom: the order of starts, and cycles.

use crate::load::Service;
use crate::value::Need;
use std::collections::BTreeMap;

/// For each service, the places of those it requires. Names that are not there are left out.
fn required(services: &[Service]) -> Vec<Vec<usize>> {
    let by_name: BTreeMap<&str, usize> = services
        .iter()
        .enumerate()
        .map(|(at, s)| (s.name.as_str(), at))
        .collect();
    let needs = |service: &Service| {
        let required = service
            .doc
            .depends_on
            .iter()
            .filter(|(_, need)| need.value == Need::Required);
        required
            .filter_map(|(name, _)| by_name.get(&*name.value).copied())
            .collect()
    };
    services.iter().map(needs).collect()
}

/// Places of services such that what is required comes before what requires it; by name where that leaves a choice.
/// Services of a cycle, which a check refuses, come last.
pub fn start_order(services: &[Service]) -> Vec<usize> {
    let required = required(services);
    let mut order: Vec<usize> = Vec::with_capacity(services.len());
    let mut placed = vec![false; services.len()];
    while let Some(next) = (0..services.len()).find(|at| !placed[*at] && required[*at].iter().all(|need| placed[*need]))
    {
        placed[next] = true;
        order.push(next);
    }
    order.extend((0..services.len()).filter(|at| !placed[*at]));
    order
}

/// Circles of required dependencies, each once, as places that lead around and starting with the smallest. A service that
/// requires itself is not told here.
pub fn cycles(services: &[Service]) -> Vec<Vec<usize>> {
    let required = required(services);
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut done = vec![false; services.len()];
    for start in 0..services.len() {
        if let Some(circle) = circle_through(start, &required, &done) {
            for at in &circle {
                done[*at] = true;
            }
            found.push(circle);
        }
    }
    found
}

/// The shortest way from `start` back to it, by breadth first over services that are in no circle told already.
fn circle_through(start: usize, required: &[Vec<usize>], done: &[bool]) -> Option<Vec<usize>> {
    let mut from: Vec<Option<usize>> = vec![None; required.len()];
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in required[at]
            .iter()
            .copied()
            .filter(|next| *next != at && !done[*next] && !done[at])
        {
            if next == start {
                let mut way: Vec<usize> = std::iter::successors(Some(at), |at| from[*at]).collect();
                way.reverse();
                return Some(way);
            }
            if from[next].is_none() {
                from[next] = Some(at);
                queue.push_back(next);
            }
        }
    }
    None
}
