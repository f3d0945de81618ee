//! Fields beside a plain list of pairs.

use super::*;

#[test]
fn fields_keep_order_and_repeat() {
    let mut fields: Fields = [("Accept", "a"), ("X-One", "1"), ("accept", "b")].into_iter().collect();
    assert_eq!(fields.all("accept").collect::<Vec<_>>(), [b"a", b"b"]);
    fields.set("accept", "c");
    fields.remove("x-none");
    let all: Vec<_> = fields.iter().map(|(name, value)| (name, value.to_vec())).collect();
    assert_eq!(all, [("x-one", b"1".to_vec()), ("accept", b"c".to_vec())]);
}

#[test]
fn what_is_left_is_written_in_order_and_in_few_pieces() {
    let sent = [("a", "1"), ("b", ""), ("drop", "x"), ("c", "3"), ("drop", "y")];
    let mut fields: Fields = sent.into_iter().collect();
    assert_eq!(fields.lines().count(), 1);
    fields.remove("drop");
    fields.push_with("d", |text| text.extend_from_slice(b"4"));
    let pieces: Vec<_> = fields.lines().map(<[u8]>::to_vec).collect();
    assert_eq!(
        pieces,
        [b"a: 1\r\nb: \r\n".to_vec(), b"c: 3\r\n".to_vec(), b"d: 4\r\n".to_vec()]
    );
}

/// Fields as a plain list of pairs, names in lower case.
#[derive(Default)]
struct Plain(Vec<(String, String)>);

impl Plain {
    fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.0.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_bytes()).collect()
    }

    fn lists(&self, name: &str, token: &str) -> bool {
        let mut named = self.0.iter().filter(|(known, _)| known == name);
        named.any(|(_, value)| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
    }

    fn begins(&self, prefix: &str) -> bool {
        self.0.iter().any(|(known, _)| known.starts_with(prefix))
    }
}

/// What changes fields: which change, the number of a name among all names, how much of that name is meant, a value.
type Change = (u8, usize, usize, String);

fn change(fields: &mut Fields, plain: &mut Plain, names: &[String], (what, name, length, value): Change) {
    let name = &names[name % names.len()];
    let lower = name.to_ascii_lowercase();
    let prefix = &lower[..length % (lower.len() + 1)];
    match what {
        0 => {
            let was = !plain.all(&lower).is_empty();
            assert_eq!(fields.remove(&lower), was);
            plain.0.retain(|(known, _)| *known != lower);
        }
        1 => {
            fields.set(&lower, &value);
            plain.0.retain(|(known, _)| *known != lower);
            plain.0.push((lower, value));
        }
        2 => {
            fields.retain(|_, kept| kept.len() != value.len());
            plain.0.retain(|(_, kept)| kept.len() != value.len());
        }
        3 => {
            fields.remove_all(prefix);
            plain.0.retain(|(known, _)| !known.starts_with(prefix));
        }
        4 if value.is_empty() => {
            fields.clear();
            plain.0.clear();
        }
        4 | 5 => {
            fields.push(&lower, &value);
            plain.0.push((lower, value));
        }
        _ => {
            fields.push_bytes(name.as_bytes(), value.as_bytes());
            plain.0.push((lower, value));
        }
    }
}

proptest::proptest! {
    /// Beside a plain list of pairs, written one by one.
    #[test]
    fn whatever_came_and_went_all_is_found_and_written_one_by_one(
        names in proptest::collection::vec("[A-Da-d][A-Da-d_-]{0,11}", 1..6),
        changes in proptest::collection::vec((0..9_u8, 0..6_usize, 0..13_usize, "[ -~]{0,6}|[aB, ]{0,6}"), 0..24),
    ) {
        let (mut fields, mut plain) = (Fields::new(), Plain::default());
        for one in changes {
            change(&mut fields, &mut plain, &names, one);
            for name in &names {
                let name = name.to_ascii_lowercase();
                let all = plain.all(&name);
                proptest::prop_assert_eq!(fields.get(&name), all.first().copied());
                proptest::prop_assert_eq!(fields.contains(&name), !all.is_empty());
                proptest::prop_assert!(fields.may_have(&name) || all.is_empty());
                proptest::prop_assert_eq!(fields.all(&name).collect::<Vec<_>>(), all);
                for token in ["a", "b"] {
                    proptest::prop_assert_eq!(fields.lists(&name, token), plain.lists(&name, token));
                }
                for end in 0..=name.len() {
                    proptest::prop_assert!(fields.may_begin(&name[..end]) || !plain.begins(&name[..end]));
                }
            }
        }
        proptest::prop_assert_eq!(fields.len(), plain.0.len());
        let written: Vec<u8> = fields.lines().flatten().copied().collect();
        let wanted: String = plain.0.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        proptest::prop_assert_eq!(String::from_utf8_lossy(&written), wanted);
        let read: Vec<_> = fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let plain: Vec<_> = plain.0.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        proptest::prop_assert_eq!(read, plain);
    }
}

#[test]
fn list_fields_are_searched_by_item() {
    let fields: Fields = [("connection", "keep-alive, Close"), ("connection", "x")]
        .into_iter()
        .collect();
    assert!(fields.lists("connection", "close") && fields.lists("connection", "x"));
    assert!(!fields.lists("connection", "keep"));
}
