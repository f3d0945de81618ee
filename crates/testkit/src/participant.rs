//! A participant of sagas with the real barrier logic, without HTTP: insert first, in one transaction with the effect.
//!
//! It keeps what a checker needs: the net effect of each step and the order in which effects happened. Either rule can
//! be taken out, to see that the checker notices.

use std::collections::HashMap;

/// What a participant answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// 200.
    Done,
    /// 409.
    Failed,
}

/// Something that happened for good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The action of a step of a saga.
    Did(String, String),
    /// Its undoing.
    Undid(String, String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Action(Reply),
    Compensation,
}

/// All participants of a test, as one database.
#[derive(Clone, Default)]
pub struct Participants {
    /// The slot of each action: who claimed it, and the stored answer.
    slots: HashMap<(String, String), By>,
    undone: HashMap<(String, String), ()>,
    /// What happened, in order.
    pub effects: Vec<Effect>,
    without_barrier: bool,
}

impl Participants {
    /// Nobody has called yet. `barrier`: false takes the barrier out.
    pub fn new(barrier: bool) -> Self {
        Self {
            without_barrier: !barrier,
            ..Self::default()
        }
    }

    /// An action arrives; `fails`: it would be refused for a business reason.
    pub fn action(&mut self, saga: &str, step: &str, fails: bool) -> Reply {
        let key = (saga.to_owned(), step.to_owned());
        match self.slots.get(&key) {
            Some(By::Action(reply)) => *reply,
            Some(By::Compensation) => Reply::Failed,
            None => {
                let reply = if fails { Reply::Failed } else { Reply::Done };
                if !fails {
                    self.effects.push(Effect::Did(key.0.clone(), key.1.clone()));
                }
                self.slots.insert(key, By::Action(reply));
                reply
            }
        }
    }

    /// A compensation arrives.
    pub fn compensate(&mut self, saga: &str, step: &str) -> Reply {
        let key = (saga.to_owned(), step.to_owned());
        if !self.without_barrier {
            self.slots.entry(key.clone()).or_insert(By::Compensation);
        }
        let first = self.undone.insert(key.clone(), ()).is_none();
        if first && self.slots.get(&key) == Some(&By::Action(Reply::Done)) {
            self.effects.push(Effect::Undid(key.0, key.1));
        }
        Reply::Done
    }

    /// Effects minus undoings of a step: 1 or 0 where all is well.
    pub fn net(&self, saga: &str, step: &str) -> i64 {
        let is = |s: &str, t: &str| s == saga && t == step;
        let one = |effect: &Effect| match effect {
            Effect::Did(s, t) if is(s, t) => 1,
            Effect::Undid(s, t) if is(s, t) => -1,
            Effect::Did(..) | Effect::Undid(..) => 0,
        };
        self.effects.iter().map(one).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_compensation_late_action_and_duplicates_leave_nothing() {
        let mut p = Participants::default();
        assert_eq!(
            (p.compensate("s", "a"), p.action("s", "a", false), p.net("s", "a")),
            (Reply::Done, Reply::Failed, 0)
        );
        assert_eq!(
            (p.action("s", "b", false), p.action("s", "b", false), p.net("s", "b")),
            (Reply::Done, Reply::Done, 1)
        );
        p.compensate("s", "b");
        p.compensate("s", "b");
        assert_eq!(p.net("s", "b"), 0);
        p.action("s", "c", true);
        p.compensate("s", "c");
        p.compensate("s", "c");
        assert_eq!(p.net("s", "c"), 0, "a refused action has nothing to undo");
    }
}
