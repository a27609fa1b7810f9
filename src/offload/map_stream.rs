//! The results of many jobs as a stream (the feature `stream`), for those who have adapters of their own.

use super::error::OffloadError;
use super::job::Job;
use super::map::Map;
use crate::stream::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

impl<I: Iterator<Item = Job<R>>, R> Stream for Map<I, R> {
    type Item = (usize, Result<R, OffloadError>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_next(cx)
    }
}
