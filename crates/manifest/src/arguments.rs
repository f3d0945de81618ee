//! Arguments of commands as they are shown to people: what looks like a secret is left out.
//!
//! What is a secret nobody can know of a text; a name that stands before it tells. The idea is that of Datadog's `DataScrubber`
//! (`datadog-agent/pkg/redact`), which shows command lines so. Who wants to be sure writes `${env:NAME}`: then no argument is shown at all.

use std::borrow::Cow;

/// Stands for what is not shown.
const HIDDEN: &str = "…";

/// A name that has one of these in it, without case, `-` and `_`, stands before a secret.
const TELLING: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "mysqlpwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
];

/// The arguments without values that look like secrets: `--token=…`, `--password …`, `KEY_SECRET=…`, `postgres://…@host`. Of a script, as `sh -c`
/// has it, each word is looked at.
pub fn shown(argv: &[String]) -> Vec<String> {
    let (mut shown, mut hides) = (Vec::with_capacity(argv.len()), false);
    for argument in argv {
        let mut text = String::with_capacity(argument.len());
        for piece in argument.split_inclusive(char::is_whitespace) {
            let word = piece.trim_end();
            text.push_str(&seen(word, &mut hides));
            text.push_str(&piece[word.len()..]);
        }
        shown.push(text);
    }
    shown
}

/// One word; `hides`: the one before said that this is a secret, and then whether the next one is.
fn seen<'w>(word: &'w str, hides: &mut bool) -> Cow<'w, str> {
    if word.is_empty() {
        return word.into();
    }
    let bare = word.trim_matches(['[', ']', ',', '"', '\'']);
    if std::mem::take(hides) && !bare.starts_with('-') {
        // `Authorization: Bearer abc`: the scheme tells nothing.
        *hides = ["bearer", "basic"]
            .iter()
            .any(|scheme| bare.eq_ignore_ascii_case(scheme));
        return HIDDEN.into();
    }
    let end = word.find(['=', ':']).filter(|at| !word[*at..].starts_with("://"));
    match end {
        Some(end) if tells(&word[..end]) => {
            *hides = word.len() == end + 1;
            format!("{}{}", &word[..=end], if *hides { "" } else { HIDDEN }).into()
        }
        Some(_) => without_user(word),
        None => {
            *hides = bare.starts_with('-') && tells(bare);
            without_user(word)
        }
    }
}

fn tells(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    let plain = plain.to_ascii_lowercase();
    TELLING.iter().any(|telling| plain.contains(telling))
}

/// A URL without who asks and the password.
fn without_user(word: &str) -> Cow<'_, str> {
    let user = word.find("://").map(|at| at + 3).and_then(|start| {
        let authority = word[start..].find('/').map_or(word.len(), |end| start + end);
        word[start..authority].rfind('@').map(|at| (start, start + at))
    });
    match user {
        Some((start, end)) => format!("{}{HIDDEN}{}", &word[..start], &word[end..]).into(),
        None => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_shown_and_all_else_is() {
        for (argv, want) in [
            (
                &["serve", "--port=${PORT}", "-v"][..],
                &["serve", "--port=${PORT}", "-v"][..],
            ),
            (&["a", "--token", "hunter2", "b"], &["a", "--token", "…", "b"]),
            (&["a", "--token", "--verbose"], &["a", "--token", "--verbose"]),
            (&["a", "--db-password=hunter2"], &["a", "--db-password=…"]),
            (&["env", "API_KEY=hunter2", "a"], &["env", "API_KEY=…", "a"]),
            (&["java", "-Dapp.secret=hunter2"], &["java", "-Dapp.secret=…"]),
            (&["a", "postgres://me:hunter2@db/x"], &["a", "postgres://…@db/x"]),
            (&["a", "--url=amqp://me:hunter2@mq"], &["a", "--url=amqp://…@mq"]),
            (&["a", "http://db/x@y"], &["a", "http://db/x@y"]),
            (
                &["sh", "-c", "a --passwd hunter2\n b"],
                &["sh", "-c", "a --passwd …\n b"],
            ),
            (
                &["curl", "-H", "Authorization: Bearer hunter2", "x"],
                &["curl", "-H", "Authorization: … …", "x"],
            ),
        ] {
            let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(shown(&argv), want, "{argv:?}");
        }
    }
}
