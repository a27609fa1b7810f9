//! `Sender::send_timeout`: here and not in `sync`, which needs no runtime and hence knows no timers.

use super::timeout;
use crate::sync::mpsc::Sender;
use crate::sync::mpsc::error::{SendError, SendTimeoutError};
use std::time::Duration;

impl<T> Sender<T> {
    /// As [`send`](Self::send), waiting for a place for at most `limit`.
    ///
    /// # Errors
    ///
    /// The value, if the time is over first, or the receiver is closed or dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the value, which then was not sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::sync::mpsc::{self, error::SendTimeoutError};
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// let (tx, mut rx) = mpsc::channel(1);
    /// tx.send_timeout(1, Duration::from_millis(1)).await.unwrap();
    /// let full = tx.send_timeout(2, Duration::from_millis(1)).await;
    /// assert_eq!(full, Err(SendTimeoutError::Timeout(2)));
    /// assert_eq!(rx.recv().await, Some(1));
    /// # });
    /// ```
    pub async fn send_timeout(&self, value: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        match timeout(limit, self.reserve()).await {
            Ok(Ok(place)) => {
                place.send(value);
                Ok(())
            }
            Ok(Err(SendError(()))) => Err(SendTimeoutError::Closed(value)),
            Err(_) => Err(SendTimeoutError::Timeout(value)),
        }
    }
}
