//! Holding back: no more bytes a second than the operator lets go.
//!
//! Bodies go to the connection in pieces, and each piece waits for its time. So all that is on its way shares the rate:
//! first mirrors among each other, then the bodies of each, whatever their size. And a new rate holds from the next
//! piece on.

use super::lanes::{Lane, Lanes};
use aws_sdk_s3::{error::BoxError, primitives::SdkBody};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body::{Body, Frame, SizeHint};
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// A piece that comes so late goes as if it came in time: timers know whole milliseconds, and at 1 GiB/s a piece takes
/// a sixteenth of one.
const LATE: Duration = Duration::from_millis(10);

/// Bytes a second right now; `None`: no limit for now.
pub type Rate = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// A limit, which may be set anew at any time. Clones share it.
#[derive(Clone)]
pub struct Limit(Arc<Shared>);

struct Shared {
    /// Asked for each piece; without one there is no limit at any time.
    rate: RwLock<Option<Rate>>,
    /// One piece at a time waits for its time, the others for their turn.
    next: Lanes,
    /// When the next byte may go.
    free: Mutex<Instant>,
}

/// Limits that hold together: those of the process and those of the mirror. Clones share them.
#[derive(Clone, Default)]
pub struct Throttle {
    limits: Vec<Limit>,
    /// Whose.
    lane: Lane,
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.now())
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.limits).finish()
    }
}

impl Throttle {
    /// All of them hold.
    pub fn new(limits: Vec<Limit>) -> Self {
        Self { limits, lane: Lane::default() }
    }

    /// The same, for a mirror that takes turns with others.
    #[must_use]
    pub(super) fn in_lane(&self, lane: Lane) -> Self {
        Self { lane, ..self.clone() }
    }

    /// What one request keeps to, all its attempts: a limit where there was none holds from the next request on.
    #[must_use]
    pub(super) fn for_request(&self) -> Self {
        let limits = self.limits.iter().filter(|limit| !limit.is_none()).cloned().collect();
        Self { limits, lane: self.lane }
    }

    /// True if nothing is ever held back.
    pub(super) fn is_none(&self) -> bool {
        self.limits.is_empty()
    }

    /// The body at its pace; `progress` learns of it.
    pub(super) fn pace<B>(&self, body: B, progress: &Progress) -> SdkBody
    where
        B: Body<Data = Bytes> + Unpin + Send + Sync + 'static,
        B::Error: Into<BoxError> + 'static,
    {
        if self.is_none() {
            return SdkBody::from_body_1_x(body);
        }
        let (throttle, progress) = (self.clone(), progress.clone());
        SdkBody::from_body_1_x(Paced { body, throttle, progress, next: Mutex::default() })
    }

    /// Waits until so many bytes may go.
    pub(super) async fn wait(&self, bytes: u64) {
        for Limit(limit) in &self.limits {
            // whoever waits for its time holds up none that needs not wait
            if limit.now().is_none() {
                continue;
            }
            let _turn = limit.next.take(self.lane, 1).await;
            let at = limit.turn(bytes);
            if at > Instant::now() {
                sleep_until(at).await;
            }
        }
    }
}

impl Limit {
    /// `rate` is asked for each piece; without one nothing is held back, until it is [`set`](Self::set).
    pub fn new(rate: Option<Rate>) -> Self {
        let (rate, free) = (RwLock::new(rate), Mutex::new(Instant::now()));
        Self(Arc::new(Shared { rate, next: Lanes::new(1), free }))
    }

    /// Another rate, for all that it holds back and that comes after. A piece that waits by then has the time it had.
    pub fn set(&self, rate: Option<Rate>) {
        *self.0.rate.write().unwrap_or_else(PoisonError::into_inner) = rate;
    }

    fn now(&self) -> Option<u64> {
        self.0.now()
    }

    /// True if nothing is held back at any time, until it is set anew.
    fn is_none(&self) -> bool {
        self.0.rate.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Shared {
    fn now(&self) -> Option<u64> {
        self.rate.read().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|rate| rate())
    }

    /// When these bytes may go. What comes after them waits until they have.
    fn turn(&self, bytes: u64) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.now() else { return now };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = if now.saturating_duration_since(*free) > LATE { now } else { *free };
        *free = turn + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        turn
    }
}

/// How far a body has come that is held back. Clones share it: of a request's attempts one is under way.
///
/// How long it takes nobody knows before: it depends on what else is sent meanwhile. So time counts from when the last
/// piece was let go.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<Moved>>);

#[derive(Debug, Default)]
enum Moved {
    /// A piece waits for its time.
    #[default]
    Held,
    /// All before the next was let go then.
    At(Instant),
}

impl Progress {
    fn is(&self, moved: Moved) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = moved;
    }

    /// What comes of the request; `None` if nothing moves for so long.
    pub(super) async fn watch<T>(&self, patience: Duration, request: impl Future<Output = T>) -> Option<T> {
        self.is(Moved::At(Instant::now()));
        let over = async {
            loop {
                let end = match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
                    Moved::Held => Instant::now() + patience,
                    Moved::At(at) => at + patience,
                };
                if end <= Instant::now() {
                    return;
                }
                sleep_until(end).await;
            }
        };
        tokio::select! { biased;
            answer = request => Some(answer),
            () = over => None,
        }
    }
}

/// A body whose pieces wait for their time.
struct Paced<B> {
    body: B,
    throttle: Throttle,
    progress: Progress,
    /// The next piece. Never locked: see [`super::extent`].
    next: Mutex<Option<(Frame<Bytes>, BoxFuture<'static, ()>)>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { body, throttle, progress, next } = self.get_mut();
        let next = next.get_mut().unwrap_or_else(PoisonError::into_inner);
        if next.is_none() {
            let frame = match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            let throttle = throttle.clone();
            *next = Some((frame, async move { throttle.wait(bytes).await }.boxed()));
        }
        if let Some((_, wait)) = next
            && wait.poll_unpin(cx).is_pending()
        {
            progress.is(Moved::Held);
            return Poll::Pending;
        }
        progress.is(Moved::At(Instant::now()));
        Poll::Ready(next.take().map(|(frame, _)| Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let waits = self.next.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        !waits && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let held = next.as_ref().and_then(|(frame, _)| frame.data_ref()).map_or(0, |data| data.len() as u64);
        match self.body.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest + held),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    fn always(rate: u64) -> Limit {
        Limit::new(Some(Box::new(move || Some(rate))))
    }

    #[tokio::test(start_paused = true)]
    async fn all_share_the_rate_and_a_new_one_holds_at_once() {
        let rate = Arc::new(AtomicU64::new(1000));
        let now = Arc::clone(&rate);
        let all = Limit::new(Some(Box::new(move || Some(now.load(Relaxed)).filter(|rate| *rate > 0))));
        let (one, other) = (Throttle::new(vec![always(300), all.clone()]), Throttle::new(vec![all]));
        let begun = Instant::now();
        // ten pieces of 100 bytes each
        let send = async |throttle: &Throttle| {
            for _ in 0..10 {
                throttle.wait(100).await;
            }
            begun.elapsed().as_millis()
        };
        assert_eq!(send(&other).await, 900, "the first one goes at once");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let both = join_all([send(&other), send(&other)]).await;
        assert!(both[0] >= 2600 && both.iter().max() == Some(&2900), "two share it: {both:?}");
        let start = begun.elapsed().as_millis();
        let slow = send(&one).await - start;
        assert!((3000..3200).contains(&slow), "its own limit is the lower one: {slow}");
        rate.store(0, Relaxed);
        let start = begun.elapsed().as_millis();
        assert_eq!(send(&other).await - start, 0);
    }

    /// Timers wake up to a millisecond late, which is the time of sixteen pieces here.
    #[tokio::test(start_paused = true)]
    async fn a_high_rate_is_reached() {
        let throttle = Throttle::new(vec![always(1 << 30)]);
        let begun = Instant::now();
        for _ in 0..16_000 {
            throttle.wait(64 << 10).await;
        }
        let took = begun.elapsed();
        assert!((976..=978).contains(&took.as_millis()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_set_holds_for_what_waits_and_for_the_next_request() {
        let limit = Limit::new(None);
        let throttle = Throttle::new(vec![limit.clone()]);
        let before = throttle.for_request();
        limit.set(Some(Box::new(|| Some(100))));
        let after = throttle.for_request();
        assert_eq!((before.is_none(), after.is_none()), (true, false));
        let begun = Instant::now();
        let send = async |throttle: Throttle| {
            for _ in 0..10 {
                throttle.wait(100).await;
            }
            begun.elapsed().as_secs()
        };
        let faster = async {
            tokio::time::sleep(Duration::from_millis(3500)).await;
            assert!(
                throttle.for_request().wait(1).now_or_never().is_none(),
                "one waits, and whoever comes after it"
            );
            limit.set(None);
            assert!(throttle.wait(1).now_or_never().is_some(), "there is nothing to wait for");
        };
        let (took, ()) = tokio::join!(send(after), faster);
        assert_eq!(took, 4, "the piece that waited had its time, the others went at once");
        assert!(throttle.for_request().is_none());
    }

    /// A body of one mirror goes as fast as all twenty of another together.
    #[tokio::test(start_paused = true)]
    async fn mirrors_share_the_rate_whatever_the_number_of_their_bodies() {
        let all = Throttle::new(vec![always(1000)]);
        let (many, one) = (all.in_lane(Lane::new()), all.in_lane(Lane::new()));
        let begun = Instant::now();
        let send = async |throttle: &Throttle, pieces| {
            for _ in 0..pieces {
                throttle.wait(100).await;
            }
            begun.elapsed().as_millis()
        };
        let many = join_all((0..20).map(|_| send(&many, 10)));
        let (many, one) = tokio::join!(many, send(&one, 10));
        assert!((1800..2200).contains(&one), "ten of twenty pieces: {one}");
        assert_eq!(many.into_iter().max(), Some(20_900), "nothing is lost");
    }

    /// Pieces that are there.
    struct Ready(u64);

    impl Body for Ready {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0 = match self.0.checked_sub(1) {
                Some(left) => left,
                None => return Poll::Ready(None),
            };
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 100])))))
        }
    }

    /// However long it is held back by what others send; and only as long as something moves.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_held_back_is_waited_for_and_one_that_hangs_is_not() {
        const S: Duration = Duration::from_secs(1);
        let all = Throttle::new(vec![always(1000)]);
        let flood = || async {
            let mirror = all.in_lane(Lane::new());
            loop {
                mirror.wait(100).await;
            }
        };
        let flood = join_all((0..200).map(|_| flood()));
        // hangs after so many pieces, or after all
        let send = async |pieces: u64| {
            let (progress, begun) = (Progress::default(), Instant::now());
            let mut body = all.in_lane(Lane::new()).pace(Ready(20), &progress);
            let request = async {
                for _ in 0..pieces {
                    let piece = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
                    if piece.is_none() {
                        return;
                    }
                }
                std::future::pending().await
            };
            (progress.watch(S, request).await.is_some(), begun.elapsed())
        };
        let all = async { tokio::join!(send(u64::MAX), send(3), send(0)) };
        let (whole, part, none) = tokio::select! {
            all = all => all,
            _ = flood => unreachable!("it never ends"),
        };
        assert!(whole.0 && whole.1 > 100 * S, "{whole:?}");
        assert!(!part.0 && part.1 > 20 * S && part.1 < whole.1 / 4, "{part:?}");
        assert_eq!(none, (false, S));
    }
}
