//! Commands as they are shown to people: what looks like a secret is left out. Pure.
//!
//! What is a secret nobody can know of a text; a name that stands before it tells, and what follows in the same argument is left out with it. The
//! idea is that of Datadog's `DataScrubber` (`datadog-agent/pkg/redact`), which shows command lines so. Who wants to be sure writes `${env:NAME}`:
//! then no argument is shown at all.

use std::borrow::Cow;

/// Stands for what is not shown.
const HIDDEN: &str = "…";

/// A name that has one of these in it, without case, `-` and `_`, stands before a secret.
const TELLING: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "bearer",
];

/// A name of which one of these is a part of its own, as in `DB_PASS`, does too.
const TELLING_PARTS: [&str; 2] = ["pass", "pwd"];

/// A command without what looks like a secret; or, where values of variables or files stand in it (`refers`), without any argument.
pub fn command(argv: &[String], refers: bool) -> Vec<String> {
    if !refers {
        return shown(argv);
    }
    let hidden = argv.iter().skip(1).map(|_| HIDDEN.to_owned());
    argv.iter().take(1).cloned().chain(hidden).collect()
}

/// The arguments without values that look like secrets: `--token=…`, `--password …`, `sh -c 'KEY_SECRET=…'`, `postgres://…@host`.
pub fn shown(argv: &[String]) -> Vec<String> {
    let mut hides = false;
    let seen = argv.iter().map(|argument| {
        if std::mem::take(&mut hides) && !argument.starts_with('-') {
            return HIDDEN.to_owned();
        }
        match secret(argument) {
            None => without_users(argument).into_owned(),
            Some(at) => {
                hides = at == argument.len();
                let hidden = if hides { "" } else { HIDDEN };
                format!("{}{hidden}", without_users(&argument[..at]))
            }
        }
    });
    seen.collect()
}

/// Where a secret begins in an argument; at its end: the next argument is one.
fn secret(argument: &str) -> Option<usize> {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut rest = argument;
    while let Some(begin) = rest.find(is_of_name) {
        rest = &rest[begin..];
        let (name, after) = rest.split_at(rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()));
        if let Some(value) = value(name, after).filter(|_| tells(name)) {
            return Some(argument.len() - value.len());
        }
        rest = after;
    }
    None
}

/// What `name` names, where it names anything: `name=VALUE`, `"name": VALUE`, `--name VALUE`, `["--name", VALUE]`.
fn value<'a>(name: &str, after: &'a str) -> Option<&'a str> {
    let next = after.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    if next.starts_with(['=', ':']) && !next.starts_with("://") {
        return Some(next[1..].trim_start());
    }
    let value = after.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ']'));
    let is_next = after.is_empty() || (value.len() < after.len() && !value.starts_with('-'));
    (name.starts_with('-') && is_next).then_some(value)
}

fn tells(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    TELLING.iter().any(|telling| plain.contains(telling))
        || name.split(['-', '_', '.']).any(|part| TELLING_PARTS.contains(&part))
}

/// URLs without who asks and the password: up to the last `@`, since a password may have any character but a blank in it.
fn without_users(text: &str) -> Cow<'_, str> {
    let Some(start) = text.find("://").map(|at| at + 3) else {
        return text.into();
    };
    let end = text[start..]
        .find(char::is_whitespace)
        .map_or(text.len(), |end| start + end);
    let rest = without_users(&text[end..]);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}{HIDDEN}{}{rest}", &text[..start], &text[start + at..end]).into(),
        None => format!("{}{rest}", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        for (words, want) in [
            (&["a", "--token", "x", "b"][..], &["a", "--token", "…", "b"][..]),
            (&["a", "--password", "x y z"], &["a", "--password", "…"]),
            (&["a", "--oauth2-bearer", "x"], &["a", "--oauth2-bearer", "…"]),
            (&["a", "--db-password=x"], &["a", "--db-password=…"]),
            (&["a", "-pass", "x"], &["a", "-pass", "…"]),
            (&["env", "API_KEY=x", "a"], &["env", "API_KEY=…", "a"]),
            (
                &["env", "DB_PASS=x", "MYSQL_PWD=x"],
                &["env", "DB_PASS=…", "MYSQL_PWD=…"],
            ),
            (&["java", "-Dapp.secret=x"], &["java", "-Dapp.secret=…"]),
            (&["a", "--set=db.password=x"], &["a", "--set=db.password=…"]),
            (&["a", "--env=API_TOKEN=x"], &["a", "--env=API_TOKEN=…"]),
            (
                &["a", "-H", "Authorization: Bearer x", "b"],
                &["a", "-H", "Authorization: …", "b"],
            ),
            (
                &["a", "--header=Authorization: Bearer x"],
                &["a", "--header=Authorization: …"],
            ),
            (&["a", "Authorization:", "Bearer x"], &["a", "Authorization:", "…"]),
            (
                &["a", r#"{"user":"me","password" : "x"}"#],
                &["a", r#"{"user":"me","password" : …"#],
            ),
            (&["a", r#"["--token", "x"]"#], &["a", r#"["--token", "…"#]),
            (&["sh", "-c", "a --passwd x\n b"], &["sh", "-c", "a --passwd …"]),
            (&["sh", "-c", "PASSWORD=\"x y\" a"], &["sh", "-c", "PASSWORD=…"]),
            (&["a", "http://db/x?api_key=x"], &["a", "http://db/x?api_key=…"]),
            (
                &["a", "postgres://db/x?user=me&password=x"],
                &["a", "postgres://db/x?user=me&password=…"],
            ),
            (&["a", "postgres://me:x@db/x"], &["a", "postgres://…@db/x"]),
            (
                &["a", "postgres://me:x@db/x?password=x"],
                &["a", "postgres://…@db/x?password=…"],
            ),
            (&["a", "postgres://me:x/x@db"], &["a", "postgres://…@db"]),
            (&["a", "mongodb://a:x@h1,b:x@h2/d"], &["a", "mongodb://…@h2/d"]),
            (
                &["sh", "-c", "a b://x:x@c d://x:x@e"],
                &["sh", "-c", "a b://…@c d://…@e"],
            ),
            (&["a", "--url=amqp://me:x@mq"], &["a", "--url=amqp://…@mq"]),
        ] {
            assert_eq!(shown(&argv(words)), want, "{words:?}");
        }
    }

    #[test]
    fn all_else_is_shown() {
        for words in [
            &["serve", "--port=${PORT}", "-v", "127.0.0.1:8080"][..],
            &["a", "--token", "--verbose"],
            &["a", "svc://tokens/jwks", "http://db:80/x?y=z"],
            &["compass", "--bypass=1", "pass"],
            &["npm", "run", "build:all", "--", "--mode=x"],
            &["sh", "-c", "cd a && b: \"c d\", e=f"],
            &["a", "", "é=ü", "--", "-"],
        ] {
            assert_eq!(shown(&argv(words)), words, "{words:?}");
        }
    }

    #[test]
    fn where_a_variable_is_named_no_argument_is_shown() {
        assert_eq!(command(&argv(&["a", "b", "c"]), true), ["a", "…", "…"]);
        assert_eq!(command(&argv(&["a", "b"]), false), ["a", "b"]);
        assert!(command(&[], true).is_empty());
    }
}
