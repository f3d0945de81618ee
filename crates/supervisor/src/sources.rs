//! Names of sources: which of them a reader wants, and how they are written as folders.

/// Which sources a reader wants; none named: all.
#[derive(Clone, Debug)]
pub(crate) struct Filter(pub Vec<String>);

impl Filter {
    pub(crate) fn takes(&self, source: &str) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|wanted| wanted == source || is_instance(source, wanted))
    }
}

fn is_instance(source: &str, service: &str) -> bool {
    let number = source.strip_prefix(service).and_then(|rest| rest.strip_prefix('.'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A source's name as a folder's name: what is not a letter, digit, `-`, `_` or `.` becomes `%XX`.
pub(crate) fn encode_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut out = String::new();
    for (at, byte) in name.bytes().enumerate() {
        // A leading dot would hide it, or be the folder itself.
        if plain(byte) && !(at == 0 && byte == b'.') {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The name that [`encode_name`] was given.
pub(crate) fn decode_name(folder: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = folder.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let digits = rest.get(..2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sources_are_safe_as_folders() {
        for name in ["orders.1", "build/rust", "..", ".hidden", "a b%c", "주문"] {
            let folder = encode_name(name);
            assert!(!folder.contains('/') && !folder.starts_with('.'), "{folder}");
            assert_eq!(decode_name(&folder).as_deref(), Some(name));
        }
        assert_eq!(decode_name("%zz"), None);
    }

    #[test]
    fn a_service_s_name_takes_its_instances_only() {
        let filter = Filter(vec!["a".into(), "build/rust".into()]);
        for (source, taken) in [
            ("a.1", true),
            ("a.12", true),
            ("a", true),
            ("ab.1", false),
            ("a.b", false),
            ("build/rust", true),
        ] {
            assert_eq!(filter.takes(source), taken, "{source}");
        }
    }
}
