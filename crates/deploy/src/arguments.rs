//! Commands as they are shown to people: what looks like a secret is left out. Pure.
//!
//! What is a secret nobody can know of a text; a name that stands before it tells, and what follows in the same argument is left out with it. The
//! idea is that of Datadog's `DataScrubber` (`datadog-agent/pkg/redact`), which shows command lines so. Who wants to be sure writes `${env:NAME}`:
//! then no argument is shown at all.

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

/// So far from a telling name its `=` or `:` may stand, in characters.
const REACH: usize = 64;

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
        if std::mem::take(&mut hides) && !argument.starts_with("--") {
            return HIDDEN.to_owned();
        }
        match secret(argument) {
            None => without_users(argument),
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
        let value = tells(name).then(|| value(name, after)).flatten();
        let value = value.or_else(|| credentials(name, after));
        if let Some(value) = value {
            return Some(argument.len() - value.len());
        }
        rest = after;
    }
    None
}

/// What `name` names, where it names anything: `name=VALUE`, `"name": VALUE`, `a[name]=VALUE`, `{\"name\":VALUE`, `--name VALUE`,
/// `["--name", VALUE]`.
fn value<'a>(name: &str, after: &'a str) -> Option<&'a str> {
    let next = after.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    let is_sign = |text: &str| text.starts_with(['=', ':']) && !text.starts_with("://");
    let word = after.char_indices().take(REACH).take_while(|(_, c)| !c.is_whitespace());
    let in_word = word.map(|(at, _)| &after[at..]).find(|rest| is_sign(rest));
    if let Some(sign) = Some(next).filter(|next| is_sign(next)).or(in_word) {
        return Some(sign[1..].trim_start());
    }
    let value = after.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ']'));
    let is_next = after.is_empty() || (value.len() < after.len() && !value.starts_with("--"));
    (name.starts_with('-') && is_next).then_some(value)
}

/// What follows the name of a scheme, as in `Bearer VALUE`, whatever the field is called (RFC 9110, section 11.4).
fn credentials<'a>(name: &str, after: &'a str) -> Option<&'a str> {
    let is_scheme = ["bearer", "basic"]
        .iter()
        .any(|scheme| name.eq_ignore_ascii_case(scheme));
    let value = after.trim_start();
    (is_scheme && value.len() < after.len() && !value.is_empty()).then_some(value)
}

fn tells(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    TELLING.iter().any(|telling| plain.contains(telling))
        || name.split(['-', '_', '.']).any(|part| TELLING_PARTS.contains(&part))
}

/// URLs without who asks and the password: up to the last `@`, since a password may have any character but a blank in it.
fn without_users(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find("://").map(|at| at + 3) {
        let url = &rest[start..];
        let (url, after) = url.split_at(url.find(char::is_whitespace).unwrap_or(url.len()));
        shown.push_str(&rest[..start]);
        match url.rfind('@') {
            Some(at) => shown.extend([HIDDEN, &url[at..]]),
            None => shown.push_str(url),
        }
        rest = after;
    }
    shown + rest
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
            (&["a", "--token", "-x", "b"], &["a", "--token", "…", "b"]),
            (&["a", r#"-d{\"password\":\"x\"}"#], &["a", r#"-d{\"password\":…"#]),
            (&["a", "db[password]=x"], &["a", "db[password]=…"]),
            (&["a", "--set=auth.passwords[0]=x"], &["a", "--set=auth.passwords[0]=…"]),
            (&["a", "secret/key=x"], &["a", "secret/key=…"]),
            (&["sh", "-c", "TOKEN+=x"], &["sh", "-c", "TOKEN+=…"]),
            (&["a", "-H", "X-Auth: Bearer x"], &["a", "-H", "X-Auth: Bearer …"]),
            (
                &["sh", "-c", "a 'X-Auth: basic x'"],
                &["sh", "-c", "a 'X-Auth: basic …"],
            ),
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
            &["a", "bearer", "basic", "--basic auth=x"],
        ] {
            assert_eq!(shown(&argv(words)), words, "{words:?}");
        }
    }

    #[test]
    fn a_long_argument_is_read_in_one_go() {
        let (urls, words) = (":// ".repeat(250_000), "token/secret é ".repeat(60_000));
        assert_eq!(shown(&[urls.clone(), words.clone()]), [urls, words]);
    }

    #[test]
    fn where_a_variable_is_named_no_argument_is_shown() {
        assert_eq!(command(&argv(&["a", "b", "c"]), true), ["a", "…", "…"]);
        assert_eq!(command(&argv(&["a", "b"]), false), ["a", "b"]);
        assert!(command(&[], true).is_empty());
    }
}
