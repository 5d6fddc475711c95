//! What happens in the sample directory, in half a minute.

use super::{
    TICK,
    site::{MOST_DELETES, Site},
};
use crate::{
    command::{
        Exit, Failure,
        paint::{Paint, Tone},
        print::print,
    },
    engine::Status,
    service::supervise::Post,
};
use std::{fs, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(30);
/// A reader's pause between two scenes.
const PAUSE: Duration = Duration::from_millis(2500);
/// Photographs in the sample: more than may be deleted at once.
const PHOTOS: u64 = MOST_DELETES + 10;

/// Makes the sample's files.
pub(super) fn sample(root: &Path) -> std::io::Result<()> {
    for dir in ["photos", "letters", "site/css"] {
        fs::create_dir_all(root.join(dir))?;
    }
    for n in 1..=PHOTOS {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(8000).collect();
        fs::write(root.join(format!("photos/{n:02}.jpg")), noise)?;
    }
    fs::write(root.join("letters/to aunt Zoë.txt"), "Dear Zoë,\nthe photographs are safe now.\n")?;
    fs::write(root.join("site/index.html"), "<title>ours</title>\n")?;
    fs::write(root.join("site/css/all.css"), "body { margin: 4em }\n")?;
    fs::write(root.join("film.mp4"), vec![7; 3 << 20])
}

/// Plays it.
pub(super) async fn tell(site: &Site, post: &Post, paint: Paint) -> Result<(), Failure> {
    let scene = Scene { post, paint };
    let root = &site.root;
    scene.title("A directory is mirrored for the first time.").await;
    scene.until(|status| status.settled).await?;

    scene.title("A file is written.").await;
    let before = scene.status();
    fs::write(root.join("letters/draft.txt"), "Dear Sir,\n")?;
    scene.until(|status| status.sums.uploaded > before.sums.uploaded).await?;

    scene.title("It is edited.").await;
    let before = scene.status();
    fs::write(root.join("letters/draft.txt"), "Dear Sir or Madam,\n")?;
    scene.until(|status| status.sums.uploaded > before.sums.uploaded).await?;

    scene.title("A film of 3 MiB is renamed: the server copies it, nothing is sent again.").await;
    let before = scene.status();
    fs::rename(root.join("film.mp4"), root.join("summer.mp4"))?;
    scene.until(|status| status.sums.copied > before.sums.copied).await?;
    scene.until(|status| status.sums.deleted > before.sums.deleted).await?;
    let sent = scene.status().sums.bytes - before.sums.bytes;
    scene.aside(&format!("bytes sent for the rename: {sent}"));

    scene.title("A file is deleted: its object goes when the file stayed away for a second.").await;
    let before = scene.status();
    fs::remove_file(root.join("letters/draft.txt"))?;
    scene.until(|status| status.sums.deleted > before.sums.deleted).await?;

    scene.title(&format!("Somebody wipes {} photographs.", PHOTOS - 2)).await;
    for n in 1..=PHOTOS - 2 {
        fs::remove_file(root.join(format!("photos/{n:02}.jpg")))?;
    }
    scene.until(|status| status.held.is_some()).await?;
    scene.aside("All of them are still in the bucket, uploads go on, and nothing here approves by itself.");
    scene.aside("An operator looks at them, and releases them, with:");
    print(&format!("  s3mirrord --config '{}' approve", site.file.display()));

    scene.title("Your own directory, to your own bucket (once, and nothing is deleted):").await;
    print("  s3mirrord once DIR s3://your-bucket/prefix/");
    Ok(())
}

struct Scene<'a> {
    post: &'a Post,
    paint: Paint,
}

impl Scene<'_> {
    async fn title(&self, text: &str) {
        if self.paint.terminal && self.post.report.status().settled {
            sleep(PAUSE).await;
        }
        print(&format!("\n{}", self.paint.with(Tone::Strong, text)));
    }

    fn aside(&self, text: &str) {
        print(&self.paint.with(Tone::Faint, text).to_string());
    }

    fn status(&self) -> Status {
        self.post.report.status()
    }

    async fn until(&self, come: impl Fn(&Status) -> bool) -> Result<(), Failure> {
        let begun = Instant::now();
        while !come(&self.status()) {
            if begun.elapsed() > PATIENCE {
                let why = self.post.trouble().map_or_else(String::new, |fault| format!(": {fault}"));
                return Err(Failure::new(
                    Exit::Some,
                    anyhow::anyhow!("this should have happened by now{why}"),
                ));
            }
            sleep(TICK).await;
        }
        Ok(())
    }
}
