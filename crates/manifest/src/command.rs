//! Commands: words as a shell would split them, without a shell.

use crate::diagnostic::{Code, Diagnostic};
use crate::read::{Read, Reader};
use crate::reference::Use;
use crate::tree::Node;
use schemars::{Schema, SchemaGenerator, json_schema};

/// A command: words as a shell would split them, but no shell.
#[derive(Clone, PartialEq, Debug)]
pub struct Words {
    /// At least one.
    pub words: Vec<String>,
    /// Instance variables in them.
    pub uses: Vec<Use>,
}

impl Read for Words {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let (text, uses) = cx.resolve(node)?;
        match split_words(&text) {
            Ok(words) => Some(Self { words, uses }),
            Err(why) => {
                let hint = "there is no shell; where one is wanted write `sh -c '…'`";
                cx.found.push(Diagnostic::error(Code::Value, node.at, why).hint(hint));
                None
            }
        }
    }
    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "command", "type": "string", "examples": ["node server.js --port ${PORT}"] })
    }
}

/// Splits as a POSIX shell does: blanks, single and double quotes, backslash. Operators of a shell outside quotes are
/// refused, since nobody would carry them out.
///
/// # Errors
/// A sentence about an open quote, an operator, or no word at all.
pub fn split_words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a single quote is open at the end".into()),
                    }
                }
            }
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a backslash stands at the end".into()),
            },
            '|' | '&' | ';' | '<' | '>' | '`' => {
                return Err(format!("`{c}` is a shell's word"));
            }
            '$' if chars.peek() != Some(&'{') => {
                return Err("`$` is a shell's word; variables are written `${NAME}`".into());
            }
            '$' => {
                // A variable is one piece, whatever is in it.
                let word = word.get_or_insert_default();
                word.push('$');
                for c in chars.by_ref() {
                    word.push(c);
                    if c == '}' {
                        break;
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if words.is_empty() {
        Err("a command needs at least one word".into())
    } else {
        Ok(words)
    }
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut String) -> Result<(), String> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err("a double quote is open at the end".into()),
            },
            Some(c) => word.push(c),
            None => return Err("a double quote is open at the end".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_split_as_a_shell_would() {
        for (text, want) in [
            ("a b  c", vec!["a", "b", "c"]),
            ("sh -c 'a; b | c'", vec!["sh", "-c", "a; b | c"]),
            (r#"x "a \"b\" \n" y\ z"#, vec!["x", r#"a "b" \n"#, "y z"]),
            ("run --port=${PORT} ''", vec!["run", "--port=${PORT}", ""]),
        ] {
            assert_eq!(
                split_words(text).as_deref(),
                Ok(&*want.iter().map(|w| w.to_string()).collect::<Vec<_>>()),
                "{text}"
            );
        }
        for text in [
            "",
            "  ",
            "a 'b",
            "a \"b",
            "a \\",
            "a | b",
            "a && b",
            "a > b",
            "echo $HOME",
        ] {
            assert!(split_words(text).is_err(), "{text}");
        }
    }
}
