//! The last frames of all topics, for readers that come back. Pure.
//!
//! Bounded: [`MAX_FRAMES`] frames and [`MAX_BYTES`] bytes; the oldest go first, and who asks for what is gone is told so.

use super::Topic;
use bytes::Bytes;
use std::collections::VecDeque;

/// About two minutes of a busy system.
const MAX_FRAMES: usize = 4_096;
const MAX_BYTES: usize = 8 << 20;

/// What a reader asked for is not there any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Behind;

#[derive(Debug, Default)]
pub(crate) struct Ring {
    /// Of the last frame; the first frame has 1.
    last: u64,
    frames: VecDeque<(Topic, Bytes)>,
    bytes: usize,
}

impl Ring {
    /// The number of the last frame.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Adds a frame.
    pub(crate) fn push(&mut self, topic: Topic, frame: Bytes) {
        self.last += 1;
        self.bytes += frame.len();
        self.frames.push_back((topic, frame));
        while self.frames.len() > MAX_FRAMES || self.bytes > MAX_BYTES {
            let gone = self.frames.pop_front();
            self.bytes -= gone.map_or(0, |(_, frame)| frame.len());
        }
    }

    /// Frames of these topics after number `after`.
    ///
    /// # Errors
    /// [`Behind`], also for a number that was never given.
    pub(crate) fn after(&self, after: u64, topics: &[Topic]) -> Result<Vec<(Topic, Bytes)>, Behind> {
        let missing = self.last.checked_sub(after).ok_or(Behind)?;
        let skip = (self.frames.len() as u64).checked_sub(missing).ok_or(Behind)?;
        let newer = self.frames.iter().skip(usize::try_from(skip).map_err(|_| Behind)?);
        Ok(newer.filter(|(topic, _)| topics.contains(topic)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_what_it_missed_or_hears_that_it_is_gone() {
        let mut ring = Ring::default();
        for n in 0..MAX_FRAMES + 10 {
            let topic = if n % 2 == 0 { Topic::Sagas } else { Topic::Services };
            ring.push(topic, Bytes::from(n.to_string()));
        }
        let last = ring.last();
        assert_eq!(ring.after(last, &[Topic::Sagas]), Ok(vec![]));
        assert_eq!(ring.after(last - 3, &[Topic::Sagas]).expect("there").len(), 1);
        assert_eq!(
            ring.after(last - 4, &[Topic::Sagas, Topic::Services])
                .expect("there")
                .len(),
            4
        );
        assert_eq!(ring.after(10, &[Topic::Sagas]).expect("there").len(), MAX_FRAMES / 2);
        assert_eq!(ring.after(9, &[Topic::Sagas]), Err(Behind));
        assert_eq!(ring.after(last + 1, &[Topic::Sagas]), Err(Behind), "of another life");
    }

    #[test]
    fn large_frames_push_out_more_than_one() {
        let mut ring = Ring::default();
        (0..20).for_each(|_| ring.push(Topic::Sagas, Bytes::from(vec![b'x'; 1 << 20])));
        assert_eq!(ring.frames.len(), 8);
        assert_eq!(ring.after(12, &[Topic::Sagas]).expect("there").len(), 8);
    }
}
