//! Who sent a request, as services see it: `Ondol-Subject`, `-Scope`, `-Roles`, `-Issuer`.

use crate::message::Fields;
use std::sync::Arc;

/// A verified token's bearer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The claim `sub`.
    pub subject: String,
    /// Words separated by one space.
    pub scope: String,
    /// Words separated by one space.
    pub roles: String,
    /// The claim `iss`.
    pub issuer: Arc<str>,
}

impl Identity {
    /// Whether the scope has this word.
    pub fn has_scope(&self, word: &str) -> bool {
        self.scope.split(' ').any(|other| other == word)
    }

    /// Whether this is one of the roles.
    pub fn has_role(&self, word: &str) -> bool {
        self.roles.split(' ').any(|other| other == word)
    }

    /// Tells the service. Call after [`strip`].
    pub fn write(&self, fields: &mut Fields) {
        fields.push("ondol-subject", &self.subject);
        fields.push("ondol-issuer", self.issuer.as_bytes());
        for (name, words) in [("ondol-scope", &self.scope), ("ondol-roles", &self.roles)] {
            if !words.is_empty() {
                fields.push(name, words);
            }
        }
    }
}

/// Takes away every `Ondol-*` field: from outside the system none is believed.
pub fn strip(fields: &mut Fields) {
    fields.remove_all("ondol-");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_of_itself_is_removed_and_what_is_verified_is_set() {
        let sent = [
            ("ondol-subject", "root"),
            ("accept", "*/*"),
            ("Ondol-Anything", "1"),
            ("x-ondol-a", "2"),
        ];
        let mut fields: Fields = sent.into_iter().collect();
        strip(&mut fields);
        let identity = Identity {
            subject: "u1".into(),
            scope: "orders:write".into(),
            roles: String::new(),
            issuer: "shop".into(),
        };
        identity.write(&mut fields);
        let names: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(value)))
            .collect();
        let expected = [
            ("accept", "*/*"),
            ("x-ondol-a", "2"),
            ("ondol-subject", "u1"),
            ("ondol-issuer", "shop"),
            ("ondol-scope", "orders:write"),
        ];
        assert_eq!(names, expected.map(|(name, value)| (name, value.into())));
    }

    #[test]
    fn words_are_compared_whole() {
        let identity = Identity {
            subject: "u".into(),
            scope: "orders:write a".into(),
            roles: "admin".into(),
            issuer: "i".into(),
        };
        assert!(identity.has_scope("orders:write") && identity.has_scope("a") && identity.has_role("admin"));
        assert!(!identity.has_scope("orders") && !identity.has_role("") && !identity.has_role("adm"));
    }
}
