//! Names of all kinds.

use crate::support::scene::{Scene, path};
use std::{collections::BTreeSet, fs};

/// Every kind of name that is hard for someone.
fn odd() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        &b" "[..],
        b"a b",
        b" leading",
        b"trailing ",
        b".hidden",
        b"..x",
        b"...",
        b"trailing.",
        b"a..b",
        b"+",
        b"%",
        b"%2F",
        b"%00",
        b"#",
        b"?",
        b"&",
        b"&amp;",
        b"=",
        b";",
        b":",
        b"@",
        b"!",
        b"$",
        b",",
        b"'",
        b"\"",
        b"`",
        b"<",
        b">",
        b"|",
        b"\\",
        b"^",
        b"~",
        b"*",
        b"[a]",
        b"{a}",
        b"(a)",
        b"-",
        b"--x",
        b"\n",
        b"a\nb",
        b"\t",
        b"\r",
        b"\r\n",
        b"\x01",
        b"\x1b[31m",
        b"\x7f",
        b"a\x08",
        b"\xff",
        b"caf\xe9",
        b"\xc3\x28",
        b"\xe2\x80",
        b"\xf0\x9f\x92",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b".s3mirrord",
        b"owner.json",
        b"con",
        b"nul",
        b"a\xe2\x80\xa8b",
    ]
    .map(<[u8]>::to_vec)
    .into();
    let texts = [
        "\u{201B}",
        "\u{201B}41",
        "\u{201B}\u{201B}",
        "\u{FF0E}",
        "\u{FF0E}\u{FF0E}",
        "\u{FF0E}x",
        "\u{FF0F}",
        "\u{2400}",
        "\u{201B}2Es3mirrord",
        "é",
        "e\u{301}",
        "日本語",
        "🦀",
        "\u{200B}",
        "\u{FEFF}",
        "\u{202E}x",
        "\u{85}",
        "\u{FFFD}",
        "\u{FFFE}",
        "\u{10FFFF}",
    ];
    all.extend(texts.map(|text| text.as_bytes().to_vec()));
    all.extend([vec![b'n'; 255], [&[b'm'; 254][..], b"\xff"].concat(), "é".repeat(127).into_bytes()]);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn c30_every_name_arrives_as_itself_and_goes() {
    let Some(mut scene) = Scene::new().await else { return };
    let odd = odd();
    assert_eq!(odd.iter().collect::<BTreeSet<_>>().len(), odd.len());
    scene.start();
    scene.settled().await;
    for (n, name) in odd.iter().enumerate() {
        scene.write(path(name), format!("as a file: {n}"));
        scene.write(path(&[b"dirs/", &name[..], b"/", name].concat()), format!("below: {n}"));
    }
    scene.in_sync().await;

    // a key of over 1,024 bytes is an error of its own and of nothing else
    let deep = [[b'd'; 200].as_slice(); 5].join(&b'/');
    let too_long = [&deep[..], b"/", &[b'f'; 30]].concat();
    scene.write(path(&too_long), "too long");
    scene.write(path(&[&deep[..], b"/f"].concat()), "long enough");
    scene.equals(&[&too_long]).await;
    let told = scene.bench.await_status("failing", |told| told["mirrors"][0]["failing"] == 1).await;
    let error = &told["mirrors"][0]["failing_sample"][0]["error"];
    assert!(error.as_str().unwrap().contains("1024"), "{told}");
    fs::remove_file(scene.at(path(&too_long))).unwrap();

    // they are renamed, rewritten and removed as any other
    fs::rename(scene.at("dirs"), scene.at(path(b"\xffdirs\n"))).unwrap();
    for name in &odd {
        scene.write(path(name), "rewritten");
    }
    scene.in_sync().await;
    scene.stop().await;
    for name in &odd {
        fs::remove_file(scene.at(path(name))).unwrap();
    }
    scene.start();
    scene.in_sync().await;
    fs::remove_dir_all(scene.at(path(b"\xffdirs\n"))).unwrap();
    scene.in_sync().await;
    scene.stop().await;
}
