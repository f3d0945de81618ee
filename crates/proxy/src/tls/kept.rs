//! What a set of files gave when they were last good, and what is wrong with them now. Pure.

use super::certificate::{Dates, Unfit};
use super::files::{Digest, Watched};

/// The last good state of a set of files.
#[derive(Clone)]
pub(crate) struct Kept<T> {
    /// When they are read again.
    pub watched: Watched,
    /// What they held when they were last good.
    pub good: Option<T>,
    /// What is wrong with what they hold now.
    pub wrong: Option<String>,
    /// What was last said of a certificate's dates.
    pub dates: Dates,
}

impl<T> Kept<T> {
    /// Of files that were not tried yet.
    pub fn new(digest: Digest) -> Self {
        Self {
            watched: Watched::new(digest),
            good: None,
            wrong: None,
            dates: Dates::Good,
        }
    }

    /// Takes what the files gave; whether it is to be served.
    pub fn take(&mut self, read: Result<T, Unfit>) -> bool {
        match read {
            Ok(good) => {
                (self.good, self.wrong) = (Some(good), None);
                true
            }
            Err(unfit) => {
                self.wrong = Some(unfit.to_string());
                false
            }
        }
    }
}
