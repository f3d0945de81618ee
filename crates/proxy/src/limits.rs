//! Bodies with a bound: in bytes and pace for a request, in time for an answer. Streams have an idle time in place of both.

use crate::message::{Body, BodyError, Frame, Source};
use crate::pace::Pace;
use crate::timer::Timer;
use ondol_core::clock::SharedClock;
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// In which a body's sender need not send anything.
pub const BODY_GRACE: Duration = Duration::from_secs(10);
/// The longest silence of a sender that was fast before.
pub const BODY_SILENCE: Duration = Duration::from_secs(30);

/// Counts the pieces that have gone in either direction of one request.
#[derive(Clone, Default)]
pub struct Activity(Rc<Cell<u64>>);

impl Activity {
    fn note(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// Rises with every piece.
    pub fn count(&self) -> u64 {
        self.0.get()
    }
}

/// A request's body that may not be larger than the route allows, nor slower than its pace.
struct Capped<'b> {
    body: Body<'b>,
    left: u64,
    limit: u64,
    activity: Activity,
    paced: Option<Paced>,
}

/// The sender's budget of waiting, and the timer for it.
struct Paced {
    pace: Pace,
    clock: SharedClock,
    timer: Timer,
}

/// Bounds a request's body to `limit` bytes, and to the least [pace](crate::pace) where there is a clock for it.
///
/// # Errors
/// [`BodyError::TooLarge`] at once when its length says so; else as soon as it is.
pub fn cap<'b>(
    body: Body<'b>,
    limit: u64,
    activity: &Activity,
    paced: Option<&SharedClock>,
) -> Result<Body<'b>, BodyError> {
    match body.length() {
        Some(length) if length > limit => Err(BodyError::TooLarge(limit)),
        length => match body {
            Body::Stream { .. } => Ok(Body::stream(
                Capped {
                    body,
                    left: limit,
                    limit,
                    activity: activity.clone(),
                    paced: paced.map(|clock| Paced {
                        pace: Pace::new(BODY_GRACE, BODY_SILENCE),
                        clock: clock.clone(),
                        timer: Timer::new(clock.clone()),
                    }),
                },
                length,
            )),
            whole => Ok(whole),
        },
    }
}

impl Source for Capped<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = self.body.poll_frame(cx);
        if let Some(paced) = &mut self.paced
            && paced.is_over(cx, &frame)
        {
            self.body = Body::Empty;
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        if let Poll::Ready(Some(Ok(Frame::Data(data)))) = &frame {
            self.activity.note();
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => {
                    self.body = Body::Empty;
                    return Poll::Ready(Some(Err(BodyError::TooLarge(self.limit))));
                }
            }
        }
        frame
    }
}

impl Paced {
    /// Whether its sender has been waited for too long.
    fn is_over(&mut self, cx: &mut Context<'_>, frame: &Poll<Option<Result<Frame, BodyError>>>) -> bool {
        let now = self.clock.mono();
        match frame {
            Poll::Pending => {
                self.timer.arm_at(self.pace.wait(now));
                self.timer.poll(cx).is_ready()
            }
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                self.pace.moved(now, data.len() as u64);
                false
            }
            Poll::Ready(_) => false,
        }
    }
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// Until this reading of the monotonic clock.
    Until(Duration),
    /// As long as something moves in either direction within this time.
    Idle(Duration),
}

struct Timed<'b> {
    body: Body<'b>,
    span: Span,
    timer: Timer,
    activity: Activity,
    seen: u64,
}

/// Bounds an answer's body in time. A whole one needs no bound.
pub fn within<'b>(body: Body<'b>, span: Span, clock: &SharedClock, activity: &Activity) -> Body<'b> {
    match body {
        Body::Stream { length, .. } => {
            let mut timer = Timer::new(clock.clone());
            arm(&mut timer, span);
            Body::stream(
                Timed {
                    body,
                    span,
                    timer,
                    activity: activity.clone(),
                    seen: activity.count(),
                },
                length,
            )
        }
        whole => whole,
    }
}

fn arm(timer: &mut Timer, span: Span) {
    match span {
        Span::Until(at) => timer.arm_at(at),
        Span::Idle(span) => timer.arm(span),
    }
}

impl Source for Timed<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Poll::Ready(frame) = self.body.poll_frame(cx) {
            self.activity.note();
            if matches!(self.span, Span::Idle(_)) {
                arm(&mut self.timer, self.span);
            }
            return Poll::Ready(frame);
        }
        while self.timer.poll(cx).is_ready() {
            if matches!(self.span, Span::Until(_)) || self.seen == self.activity.count() {
                self.body = Body::Empty; // Closes what it came from.
                return Poll::Ready(Some(Err(BodyError::TimedOut)));
            }
            self.seen = self.activity.count();
            arm(&mut self.timer, self.span);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ondol_core::clock::SystemClock;
    use std::sync::Arc;

    struct Pieces(Vec<usize>);

    impl Source for Pieces {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            Poll::Ready(self.0.pop().map(|n| Ok(Frame::Data(Bytes::from(vec![0; n])))))
        }
    }

    struct Never;

    impl Source for Never {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_cut_at_the_limit() {
        let mut body = cap(
            Body::stream(Pieces(vec![1, 4, 6]), None),
            10,
            &Activity::default(),
            None,
        )
        .expect("unknown yet");
        assert!(matches!(body.frame().await, Some(Ok(Frame::Data(data))) if data.len() == 6));
        assert!(matches!(body.frame().await, Some(Ok(Frame::Data(data))) if data.len() == 4));
        assert!(matches!(body.frame().await, Some(Err(BodyError::TooLarge(10)))));
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn a_body_with_a_length_is_refused_before_it_is_read() {
        let body = Body::stream(Never, Some(11));
        assert_eq!(
            cap(body, 10, &Activity::default(), None).err(),
            Some(BodyError::TooLarge(10))
        );
    }

    #[tokio::test]
    async fn an_answer_that_gives_nothing_ends_at_its_time() {
        let clock: SharedClock = Arc::new(SystemClock);
        for span in [
            Span::Until(clock.mono() + Duration::from_millis(2)),
            Span::Idle(Duration::from_millis(2)),
        ] {
            let mut body = within(Body::stream(Never, None), span, &clock, &Activity::default());
            assert!(matches!(body.frame().await, Some(Err(BodyError::TimedOut))));
        }
    }
}
