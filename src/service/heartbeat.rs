//! The heartbeat: while a mirror is well, a page of somebody's is fetched now and then, and who keeps it alarms when it is
//! not. So a daemon that is gone, hangs, or cannot do its work is told of by saying nothing.
//!
//! The URL is a secret: who knows it can say that all is well. It is never logged, nor what an error says of it.

use super::post::Post;
use crate::config::{Heartbeat, Secret};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use aws_smithy_types::body::SdkBody;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether the mirror is well when it was not; the first look after the start comes as soon.
const SOON: Duration = Duration::from_secs(5);
/// Pages are not fetched more often, whatever happens.
const LEAST: Duration = Duration::from_secs(60);

/// Whether a mirror is well, by what is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    /// Root and prefix are open, and changes are seen or looked for.
    pub(super) up: bool,
    /// Its watcher gave a sign of life of late.
    pub(super) lives: bool,
    /// Something of the mirror as a whole does not work.
    pub(super) trouble: bool,
    /// Deletes or replacements wait for an operator.
    pub(super) held: bool,
    /// For how long something has been unsynced.
    pub(super) unsynced: Option<Duration>,
}

impl Signs {
    fn are_well(self, within: Duration) -> bool {
        let Self { up, lives, trouble, held, unsynced } = self;
        up && lives && !trouble && !held && unsynced.is_none_or(|age| age <= within)
    }
}

/// Fetches the page while the mirror is well, for good.
pub(super) async fn beat(post: Arc<Post>, heartbeat: Heartbeat) {
    let Heartbeat { every, within, .. } = heartbeat;
    let page = Arc::new(Page::new(heartbeat));
    let fetch = || {
        let page = page.clone();
        async move { page.fetch().await }
    };
    beats(every, || post.signs().are_well(within), fetch).await;
}

async fn beats<F: Future<Output = Result<(), String>>>(
    every: Duration,
    well: impl Fn() -> bool,
    fetch: impl Fn() -> F,
) {
    let mut looks = interval_at(Instant::now() + SOON, SOON);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut next, mut failed, mut silent) = (Instant::now(), false, false);
    loop {
        let now = looks.tick().await;
        if now < next {
            continue;
        }
        if !well() {
            // told where it is known; here only that nobody hears of it any more
            if !std::mem::replace(&mut silent, true) {
                tracing::warn!("the heartbeat pauses until the mirror is well");
            }
            continue;
        }
        silent = false;
        next = now + every.max(LEAST);
        match fetch().await {
            Ok(()) if std::mem::take(&mut failed) => tracing::info!("the heartbeat is heard again"),
            Ok(()) => {}
            Err(why) => {
                next = now + LEAST;
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!("the heartbeat is not heard: {why}; trying again each minute");
                }
            }
        }
    }
}

/// What is fetched, and by what.
struct Page {
    connector: Connector,
    url: Secret,
}

impl Page {
    fn new(heartbeat: Heartbeat) -> Self {
        let tls = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        Self { connector: tls.build(), url: heartbeat.url }
    }

    /// # Errors
    /// Why it was not heard, without a word of the URL.
    async fn fetch(&self) -> Result<(), String> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(self.url.expose()).map_err(|_| "its URL cannot be asked for")?;
        request.headers_mut().insert("user-agent", concat!("s3mirrord/", env!("CARGO_PKG_VERSION")));
        match timeout(PATIENCE, self.connector.call(request)).await {
            Err(_) => Err("there was no answer in time".into()),
            Ok(Err(error)) if error.is_timeout() => Err("there was no answer in time".into()),
            Ok(Err(error)) if error.is_io() => Err("there is no connection".into()),
            Ok(Err(_)) => Err("it could not be asked for".into()),
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("the answer was HTTP {}", answer.status().as_u16())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, cell::RefCell};

    const WELL: Signs = Signs { up: true, lives: true, trouble: false, held: false, unsynced: None };
    const MINUTE: Duration = Duration::from_secs(60);

    fn heartbeat(every: Duration) -> Heartbeat {
        Heartbeat { url: Secret::new("https://hc.example/secret"), every, within: 15 * MINUTE }
    }

    #[test]
    fn only_what_is_well_in_each_way_beats() {
        let old = |minutes| Some(minutes * MINUTE);
        for (signs, want) in [
            (WELL, true),
            (Signs { unsynced: old(15), ..WELL }, true),
            (Signs { unsynced: old(16), ..WELL }, false),
            (Signs { up: false, ..WELL }, false),
            (Signs { lives: false, ..WELL }, false),
            (Signs { trouble: true, ..WELL }, false),
            (Signs { held: true, ..WELL }, false),
        ] {
            assert_eq!(signs.are_well(15 * MINUTE), want, "{signs:?}");
        }
    }

    /// The seconds at which a page was fetched within an hour.
    async fn fetched(
        every: Duration,
        signs: impl Fn(u64) -> Signs,
        answers: impl Fn(u64) -> bool,
    ) -> Vec<u64> {
        let (begun, at) = (Instant::now(), RefCell::new(vec![]));
        let second = || begun.elapsed().as_secs();
        let well = || signs(second()).are_well(15 * MINUTE);
        let beats = beats(every, well, || {
            at.borrow_mut().push(second());
            std::future::ready(if answers(second()) { Ok(()) } else { Err("no".into()) })
        });
        assert!(timeout(59 * MINUTE, beats).await.is_err(), "it goes on for good");
        at.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn it_beats_as_often_as_it_is_to_and_no_oftener_than_each_minute() {
        let well = fetched(10 * MINUTE, |_| WELL, |_| true).await;
        assert_eq!(well, [5, 605, 1205, 1805, 2405, 3005]);
        let flaps = Cell::new(false);
        let sick = |_| Signs { held: flaps.replace(!flaps.get()), ..WELL };
        let often = fetched(MINUTE, sick, |_| true).await;
        assert!(often.len() > 50 && often.windows(2).all(|two| two[1] - two[0] >= 60), "{often:?}");
        let ill = |second| Signs { trouble: (600..1800).contains(&second), ..WELL };
        let paused = fetched(10 * MINUTE, ill, |_| true).await;
        assert_eq!(paused, [5, 1800, 2400, 3000], "and as soon as it is well again");
        let deaf = fetched(10 * MINUTE, |_| WELL, |second| second > 900).await;
        assert_eq!(deaf[..4], [5, 65, 125, 185], "what is not heard is said again");
        assert_eq!(deaf[deaf.len() - 5..], [905, 1505, 2105, 2705, 3305]);
    }

    #[tokio::test]
    async fn what_fails_is_told_without_the_url() {
        let page = |url: &str| Page::new(Heartbeat { url: Secret::new(url), ..heartbeat(MINUTE) });
        for url in ["http://127.0.0.1:1/secret", "http://no.such.host.invalid/secret", "no url: secret"] {
            let why = page(url).fetch().await.expect_err(url);
            assert!(!why.contains("secret") && !why.contains("127.0.0.1"), "{why}");
        }
        assert!(!format!("{:?}", heartbeat(MINUTE)).contains("secret"));
    }
}
