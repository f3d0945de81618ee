//! A saga's call as an extractor: handlers of `/internal` steps take a [`SagaCall`] and pass its key to the barrier.

use axum::extract::FromRequestParts;
use http::request::Parts;
use ondol_sdk::{Operation, SagaKey};

use crate::Problem;

/// The key of a saga's call. A request without one is a 400: nothing is done outside a saga's order.
#[derive(Clone, Debug)]
pub struct SagaCall(SagaKey);

impl SagaCall {
    /// The key, for a handler that does a step.
    ///
    /// # Errors
    /// 400 when it is a key for undoing.
    pub fn action(self) -> Result<SagaKey, Problem> {
        self.expect(Operation::Action)
    }

    /// The key, for a handler that undoes one.
    ///
    /// # Errors
    /// 400 when it is a key for doing.
    pub fn compensation(self) -> Result<SagaKey, Problem> {
        self.expect(Operation::Compensate)
    }

    fn expect(self, operation: Operation) -> Result<SagaKey, Problem> {
        self.0
            .expect(operation)
            .map_err(|error| Problem::bad_request("bad_saga_key", error.to_string()))
    }
}

impl<S: Sync> FromRequestParts<S> for SagaCall {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let key = SagaKey::from_headers(&parts.headers);
        key.map(Self)
            .map_err(|error| Problem::bad_request("bad_saga_key", error.to_string()))
    }
}
