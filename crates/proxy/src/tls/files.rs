//! When a file that has changed is read again. Pure, but for [`digest`].
//!
//! Files are compared by content, every [`PERIOD`]: a few KiB read are cheaper than a mistake about times of change, and
//! it does not matter whether somebody writes in place, renames, or turns a link as Kubernetes does. What has changed is
//! used once it was seen twice alike, so that of two files written one after the other no half is tried.

use std::path::Path;
use std::time::Duration;

/// Between two looks.
pub const PERIOD: Duration = Duration::from_secs(1);

/// What a set of files held, unreadable ones too.
pub type Digest = [u8; 32];

/// What to do after a look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing: it is what was tried last.
    Keep,
    /// Look again: it has changed just now.
    Wait,
    /// Try it.
    Load,
}

/// A set of files that is used together.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// What was tried last, whether it was any good or not.
    tried: Digest,
    /// What the last look saw, if that is something else.
    seen: Option<Digest>,
}

impl Watched {
    /// Of files that were tried as they are now.
    pub fn new(tried: Digest) -> Self {
        Self { tried, seen: None }
    }

    /// Decides by what the files hold now.
    pub fn look(&mut self, now: Digest) -> Next {
        let before = self.seen.replace(now);
        if now == self.tried {
            self.seen = None;
            Next::Keep
        } else if before == Some(now) {
            *self = Self::new(now);
            Next::Load
        } else {
            Next::Wait
        }
    }
}

/// Reads the files' content into one digest.
pub fn digest<'f>(files: impl IntoIterator<Item = &'f Path>) -> Digest {
    let mut all = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for file in files {
        let content = super::certificate::contents(file).map_err(|unfit| unfit.to_string());
        let (tag, bytes) = match &content {
            Ok(bytes) => (0, bytes.as_slice()),
            Err(why) => (1, why.as_bytes()),
        };
        all.update(&[tag]);
        all.update(&bytes.len().to_be_bytes());
        all.update(bytes);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(all.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::Next::{Keep, Load, Wait};
    use super::*;

    /// What each look decides, where a letter is what the files hold.
    fn course(looks: &str) -> Vec<Next> {
        let mut watched = Watched::new([b'a'; 32]);
        looks.bytes().map(|content| watched.look([content; 32])).collect()
    }

    #[test]
    fn what_has_changed_is_tried_once_it_was_seen_twice() {
        assert_eq!(course("aa"), [Keep, Keep]);
        assert_eq!(course("abbb"), [Keep, Wait, Load, Keep]);
        assert_eq!(course("bcc"), [Wait, Wait, Load], "written in two steps");
        assert_eq!(course("bab"), [Wait, Keep, Wait], "written and taken back");
        assert_eq!(course("bbaa"), [Wait, Load, Wait, Load], "back to what it was before");
    }

    #[test]
    fn content_counts_and_so_does_its_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let (one, two) = (dir.path().join("1"), dir.path().join("2"));
        let both = || digest([one.as_path(), two.as_path()]);
        let nothing = both();
        std::fs::write(&one, "ab").expect("written");
        std::fs::write(&two, "c").expect("written");
        let first = both();
        std::fs::write(&one, "a").expect("written");
        std::fs::write(&two, "bc").expect("written");
        assert!(nothing != first && first != both());
    }
}
