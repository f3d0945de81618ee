//! Smooth weighted round robin: everybody in turn, and a turn of the heavy between two of the light.
//!
//! Each choice gives everybody as much credit as its weight; the one with most goes, and pays what all got. So over as many choices as
//! the sum of the weights each has been chosen as often as its weight says, and nobody is ever ahead by a whole turn.
//! Source: nginx's upstream module, since 1.3.1.

/// One that may be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// What it is owed; begins at zero, and is kept by the caller.
    pub credit: i64,
    /// Its turns, beside the others'.
    pub weight: u32,
}

/// The position of the one whose turn it is, with everybody's credit changed by that; `None`: there is nobody. Of equal ones the first.
pub fn next(turns: &mut [Turn]) -> Option<usize> {
    let (mut sum, mut most) = (0, None::<(i64, usize)>);
    for (at, turn) in turns.iter_mut().enumerate() {
        sum += i64::from(turn.weight);
        turn.credit = turn.credit.saturating_add(i64::from(turn.weight));
        if most.is_none_or(|(credit, _)| turn.credit > credit) {
            most = Some((turn.credit, at));
        }
    }
    let (_, at) = most?;
    turns[at].credit = turns[at].credit.saturating_sub(sum);
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turns(weights: &[u32]) -> Vec<Turn> {
        weights
            .iter()
            .map(|weight| Turn {
                credit: 0,
                weight: *weight,
            })
            .collect()
    }

    fn order(weights: &[u32], choices: usize) -> Vec<usize> {
        let mut turns = turns(weights);
        (0..choices).filter_map(|_| next(&mut turns)).collect()
    }

    #[test]
    fn a_heavy_one_is_spread_between_the_light() {
        assert_eq!(order(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0], "as nginx has it");
        assert_eq!(order(&[1, 1, 1], 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(order(&[], 3), []);
    }

    proptest! {
        /// Beside who is furthest behind what is due by now, counted anew for each choice.
        #[test]
        fn the_one_who_is_owed_most_is_chosen_and_a_cycle_is_exact(weights in prop::collection::vec(1..30_u32, 1..8)) {
            let sum: u32 = weights.iter().sum();
            let mut counts = vec![0_i64; weights.len()];
            for (made, at) in order(&weights, 3 * sum as usize).into_iter().enumerate() {
                let due = |at: usize| (made as i64 + 1) * i64::from(weights[at]);
                let owed = |at: usize| due(at) - i64::from(sum) * counts[at];
                let most = (0..weights.len()).map(owed).max();
                prop_assert_eq!(Some(owed(at)), most);
                prop_assert!((0..at).all(|before| Some(owed(before)) != most), "the first of equal ones");
                counts[at] += 1;
                prop_assert!(due(at) - i64::from(sum) * counts[at] > -i64::from(sum), "ahead by a turn");
                if (made + 1) % sum as usize == 0 {
                    let cycles = (made as i64 + 1) / i64::from(sum);
                    prop_assert!(counts.iter().zip(&weights).all(|(count, weight)| *count == cycles * i64::from(*weight)));
                }
            }
        }

        /// Instances come, go and warm up.
        #[test]
        fn nobody_is_left_out_whoever_else_may_be_chosen(
            rounds in prop::collection::vec((any::<u8>(), 10..101_u32), 1..200),
        ) {
            let mut all = turns(&[100; 4]);
            for (present, weight) in rounds {
                all[0].weight = weight;
                let here: Vec<usize> = (0..4).filter(|at| present & (1 << at) != 0).collect();
                let mut those: Vec<Turn> = here.iter().map(|at| all[*at]).collect();
                let chosen = next(&mut those);
                prop_assert_eq!(chosen.is_some(), !here.is_empty());
                here.iter().zip(those).for_each(|(at, turn)| all[*at] = turn);
                prop_assert_eq!(all.iter().map(|turn| turn.credit).sum::<i64>(), 0, "credit is neither made nor lost");
            }
            let mut last = vec![0; 4];
            for round in 1..=60 {
                last[next(&mut all).expect("one")] = round;
            }
            prop_assert!(last.iter().all(|round| *round > 0), "{:?}", last);
        }
    }
}
