//! What an account may be called: the checks on what a stranger sends, before anything is done with it.
//!
//! Tests: below.

/// Shortest password, in bytes.
const SHORTEST_PASSWORD: usize = 8;
/// Longest password, in bytes: hashing must not be a way to keep us busy.
pub const LONGEST_PASSWORD: usize = 256;
/// Longest email, RFC 5321.
const LONGEST_EMAIL: usize = 254;
/// Longest name, in characters.
const LONGEST_NAME: usize = 100;

/// An email in the one form in which it is stored and compared: trimmed, lower case.
///
/// No more than the shape is checked: the only proof of an address is a mail that arrives.
///
/// # Errors
/// What is wrong with it, for the customer to read.
pub fn email(given: &str) -> Result<String, &'static str> {
    let email = given.trim().to_lowercase();
    let (local, domain) = email.split_once('@').ok_or("an email has an @ in it")?;
    if email.len() > LONGEST_EMAIL {
        return Err("the email is longer than 254 characters");
    }
    if local.is_empty() || domain.is_empty() || domain.contains('@') {
        return Err("an email has one @ with something on both sides");
    }
    if email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("an email has no spaces in it");
    }
    Ok(email)
}

/// A name as it will be shown, trimmed.
///
/// # Errors
/// What is wrong with it, for the customer to read.
pub fn name(given: &str) -> Result<String, &'static str> {
    let name = given.trim();
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name.chars().count() > LONGEST_NAME {
        return Err("the name is longer than 100 characters");
    }
    if name.chars().any(char::is_control) {
        return Err("the name has control characters in it");
    }
    Ok(name.to_owned())
}

/// Whether a new password will do. Length is all that is asked (NIST SP 800-63B, 3.1.1.2: no composition rules).
///
/// # Errors
/// What is wrong with it, for the customer to read.
pub fn password(given: &str) -> Result<(), &'static str> {
    match given.len() {
        0..SHORTEST_PASSWORD => Err("the password is shorter than 8 characters"),
        SHORTEST_PASSWORD..=LONGEST_PASSWORD => Ok(()),
        _ => Err("the password is longer than 256 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_stored_trimmed_and_in_lower_case() {
        assert_eq!(email(" Alice@Shop.Example "), Ok("alice@shop.example".to_owned()));
    }

    #[test]
    fn what_is_no_email_is_refused() {
        let long = format!("{}@shop.example", "a".repeat(250));
        for bad in [
            "",
            "alice",
            "@shop.example",
            "alice@",
            "a@b@c",
            "a b@shop.example",
            "a\n@shop.example",
            &long,
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_something_to_show() {
        assert_eq!(name("  Kim Min-ji "), Ok("Kim Min-ji".to_owned()));
        for bad in ["", "   ", "a\u{7}b", &"가".repeat(101)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(name(&"가".repeat(100)).is_ok(), "characters count, not bytes");
    }

    #[test]
    fn a_password_is_bounded_on_both_sides() {
        let (short, least) = ("a".repeat(7), "a".repeat(8));
        let (most, long) = ("a".repeat(LONGEST_PASSWORD), "a".repeat(LONGEST_PASSWORD + 1));
        assert_eq!(
            [&short, &least, &most, &long].map(|p| password(p).is_ok()),
            [false, true, true, false]
        );
    }
}
