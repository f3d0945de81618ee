//! Who asks, as the gateway has verified it. Every `Ondol-*` header from outside is removed there, so what arrives is true.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::Problem;

/// The person behind the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The token's `sub`: the user's id.
    pub subject: String,
    /// The token's roles.
    pub roles: Vec<String>,
}

impl Caller {
    /// Refuses whoever lacks a role.
    ///
    /// # Errors
    /// 403.
    pub fn require_role(&self, role: &str) -> Result<(), Problem> {
        if self.roles.iter().any(|own| own == role) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("Only the role {role} may do this")))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        let subject = text("ondol-subject")
            .filter(|subject| !subject.is_empty())
            .ok_or_else(Problem::unauthorized)?;
        let roles = text("ondol-roles")
            .unwrap_or_default()
            .split([',', ' '])
            .filter(|role| !role.is_empty());
        Ok(Self {
            subject: subject.to_owned(),
            roles: roles.map(str::to_owned).collect(),
        })
    }
}
