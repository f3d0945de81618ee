//! The headers of a saga's call: which step of which saga, and whether to do or to undo it.

use std::fmt;

use http::HeaderMap;

/// Longest key that is read, in bytes. A UUID, a step name of 63 and an operation fit three times over.
const MAX_KEY_LEN: usize = 256;

/// Whether the call does the step or undoes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Do it.
    Action,
    /// Undo it.
    Compensate,
}

impl Operation {
    /// As in the key's last part, in `Ondol-Op` and in the barrier's table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Compensate => "compensate",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Action, Self::Compensate]
            .into_iter()
            .find(|op| op.as_str() == text)
    }
}

/// `Ondol-Attempt: <epoch>.<n>`: which coordinator's term, and which try. Higher is newer. Kept with the row for people
/// who read it; the barrier itself does not need it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Attempt {
    /// The coordinator's term.
    pub epoch: u64,
    /// The try within the saga's step, from 1.
    pub number: u64,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}

/// The identity of a saga's call. The same on every attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SagaKey {
    saga: String,
    step: String,
    operation: Operation,
    attempt: Attempt,
}

/// Why the headers name no step of a saga. A caller that is a saga never causes it, so a 400 is right.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// No `Idempotency-Key`.
    #[error("the header Idempotency-Key is missing: this path is a saga's step and needs its key")]
    Missing,
    /// Not of the form that sagas use.
    #[error("Idempotency-Key {0:?} is not \"<saga id>.<step>.<action|compensate>\"")]
    Malformed(String),
    /// `Ondol-Op` says something else than the key.
    #[error("Ondol-Op {said:?} contradicts the key's {key:?}")]
    Contradiction {
        /// The header's value.
        said: String,
        /// The key's operation.
        key: &'static str,
    },
    /// The path is for doing and the key for undoing, or the other way round.
    #[error("the key is for {given:?}, and this path is for {expected:?}")]
    WrongOperation {
        /// The key's.
        given: &'static str,
        /// The path's.
        expected: &'static str,
    },
}

impl SagaKey {
    /// Reads `Idempotency-Key`, and `Ondol-Op` and `Ondol-Attempt` where they are given.
    ///
    /// # Errors
    /// [`KeyError`]; nothing may be done without a key.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, KeyError> {
        let text = |name: &str| {
            headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let attempt = text("ondol-attempt")
            .and_then(|text| parse_attempt(&text))
            .unwrap_or_default();
        let key = Self {
            attempt,
            ..Self::parse(&text("idempotency-key").ok_or(KeyError::Missing)?)?
        };
        match text("ondol-op") {
            Some(said) if said != key.operation.as_str() => Err(KeyError::Contradiction {
                said,
                key: key.operation.as_str(),
            }),
            _ => Ok(key),
        }
    }

    /// Reads a key, quoted or bare: `"0198….pay.action"`.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(text.chars().take(MAX_KEY_LEN).collect());
        let bare = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(text);
        if bare.len() > MAX_KEY_LEN || !bare.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
            return Err(malformed());
        }
        // From the right: a step's name has no dot, and what is left is the saga's id.
        let mut parts = bare.rsplitn(3, '.');
        match (parts.next().and_then(Operation::parse), parts.next(), parts.next()) {
            (Some(operation), Some(step), Some(saga)) if !step.is_empty() && !saga.is_empty() => Ok(Self {
                saga: saga.to_owned(),
                step: step.to_owned(),
                operation,
                attempt: Attempt::default(),
            }),
            _ => Err(malformed()),
        }
    }

    /// Refuses a key that was sent to the wrong path.
    ///
    /// # Errors
    /// [`KeyError::WrongOperation`].
    pub fn expect(self, expected: Operation) -> Result<Self, KeyError> {
        if self.operation == expected {
            return Ok(self);
        }
        Err(KeyError::WrongOperation {
            given: self.operation.as_str(),
            expected: expected.as_str(),
        })
    }

    /// The saga's id.
    pub fn saga(&self) -> &str {
        &self.saga
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Do or undo.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Which try this is; zero where the header was missing.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }
}

impl fmt::Display for SagaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.saga, self.step, self.operation.as_str())
    }
}

pub(crate) fn parse_attempt(text: &str) -> Option<Attempt> {
    let (epoch, number) = text.split_once('.')?;
    Some(Attempt {
        epoch: epoch.parse().ok()?,
        number: number.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn quoted_and_bare_keys_are_the_same_key() {
        for text in ["\"0198-ab.pay.action\"", "0198-ab.pay.action"] {
            let key = SagaKey::parse(text).unwrap();
            assert_eq!(
                (key.saga(), key.step(), key.operation()),
                ("0198-ab", "pay", Operation::Action)
            );
            assert_eq!(key.to_string(), "0198-ab.pay.action");
        }
    }

    #[test]
    fn what_no_saga_sends_is_refused() {
        let long = format!("{}.pay.action", "x".repeat(MAX_KEY_LEN));
        for text in [
            "",
            "pay",
            "pay.action",
            ".pay.action",
            "s..action",
            "s.pay.undo",
            "s.pay.action\u{e9}",
            "\"s.pay.action",
            &long,
        ] {
            assert!(matches!(SagaKey::parse(text), Err(KeyError::Malformed(_))), "{text:?}");
        }
        assert_eq!(SagaKey::from_headers(&HeaderMap::new()), Err(KeyError::Missing));
    }

    #[test]
    fn headers_give_operation_and_attempt() {
        let key = SagaKey::from_headers(&headers(&[
            ("idempotency-key", "\"s.pay.compensate\""),
            ("ondol-op", "compensate"),
            ("ondol-attempt", "3.17"),
        ]));
        let key = key.unwrap();
        assert_eq!(key.attempt(), Attempt { epoch: 3, number: 17 });
        assert!(key.clone().expect(Operation::Compensate).is_ok());
        assert!(matches!(
            key.expect(Operation::Action),
            Err(KeyError::WrongOperation { .. })
        ));
    }

    #[test]
    fn an_operation_that_contradicts_the_key_is_refused() {
        let said = headers(&[("idempotency-key", "s.pay.action"), ("ondol-op", "compensate")]);
        assert!(matches!(
            SagaKey::from_headers(&said),
            Err(KeyError::Contradiction { .. })
        ));
    }
}
