//! Tracking numbers: twelve digits that cannot be guessed from one another, and a check digit for those who type them.

use uuid::Uuid;

/// A new one, such as `ON-4821-0937-5518-4`. Random, so that nobody can count the shop's parcels; should two ever be the
/// same, the table's UNIQUE refuses the second and the saga's next attempt draws again.
pub fn number() -> String {
    let random = Uuid::new_v4().as_u128();
    format(u64::try_from(random % 1_000_000_000_000).unwrap_or_default())
}

fn format(digits: u64) -> String {
    let text = format!("{digits:012}");
    format!(
        "ON-{}-{}-{}-{}",
        &text[..4],
        &text[4..8],
        &text[8..],
        check_digit(&text)
    )
}

/// Luhn's: catches every single wrong digit and most swapped neighbours.
fn check_digit(text: &str) -> u32 {
    let digits = text.bytes().rev().map(|byte| u32::from(byte - b'0')).enumerate();
    let sum: u32 = digits
        .map(|(place, digit)| if place % 2 == 0 { luhn_double(digit) } else { digit })
        .sum();
    (10 - sum % 10) % 10
}

fn luhn_double(digit: u32) -> u32 {
    if digit * 2 > 9 { digit * 2 - 9 } else { digit * 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_three_groups_and_the_luhn_digit() {
        // 7992739871 has check digit 3: the example of ISO/IEC 7812-1's method that is found everywhere.
        assert_eq!(check_digit("7992739871"), 3);
        assert_eq!(format(7_992_739_871), "ON-0079-9273-9871-3");
    }

    #[test]
    fn a_wrong_digit_is_caught() {
        let right = "482109375518";
        for place in 0..right.len() {
            let mut wrong = right.to_owned().into_bytes();
            wrong[place] = b'0' + (wrong[place] - b'0' + 1) % 10;
            assert_ne!(
                check_digit(&String::from_utf8(wrong).unwrap()),
                check_digit(right),
                "place {place}"
            );
        }
    }
}
