//! Keeps the read model up to date: asks the log for what is new, takes it in, asks again.
//!
//! A long poll, so an event arrives within a round trip of its append and a quiet shop costs one request in 20 seconds.
//! While the log is away the model stays as it is and this asks again, ever more slowly, at most every second.

use crate::log::{Log, LogError};
use crate::model::{Model, ModelError};
use std::convert::Infallible;
use std::time::Duration;

/// How long the log may wait for news.
const WAIT: Duration = Duration::from_secs(20);
/// Pause after the first failure; doubled by each that follows. Also after an empty answer, so that a log which does not
/// wait is not asked without end.
const PAUSE: Duration = Duration::from_millis(20);
/// Largest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Follows the log for ever.
///
/// # Drop
/// At any moment: what was not taken in is asked for again.
pub async fn follow(log: Log, model: Model) -> Infallible {
    let mut pause = PAUSE;
    loop {
        match once(&log, &model).await {
            Ok(true) => {
                pause = PAUSE;
                continue;
            }
            Ok(false) => pause = PAUSE,
            Err(error) => {
                // Once for each time that it goes away, not once for each try.
                if pause == PAUSE {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "the read model cannot follow the event log; trying again");
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// One page. `false`: there was nothing new.
async fn once(log: &Log, model: &Model) -> Result<bool, FollowError> {
    let page = log.after(model.position(), WAIT).await?;
    model.take(&page).await?;
    Ok(!page.is_empty())
}
