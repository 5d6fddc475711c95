# The daily commands: `just` lists them. https://just.systems

_list:
    @just --list --unsorted

# All that must be green before a merge.
check: lint test deny

# The binary as it is developed.
build:
    cargo build --locked

# The binary as it is released: target/release/s3mirrord.
release:
    cargo build --locked --release

# The package for Debian and Ubuntu: target/debian/*.deb (cargo install --locked cargo-deb).
deb: release
    rm -rf target/package
    target/release/s3mirrord man target/package/man
    target/release/s3mirrord completions bash > target/package/s3mirrord.bash
    target/release/s3mirrord completions zsh > target/package/_s3mirrord
    target/release/s3mirrord completions fish > target/package/s3mirrord.fish
    cargo deb --locked --no-build --strip

# All tests, or those whose name holds FILTER. With S3MIRRORD_REQUIRE_ALL=1 none may be skipped.
test *FILTER:
    cargo test --locked -- {{FILTER}}

# The pictures of the status page in docs/, of mirrors below /srv/example (Chromium; pip install pillow).
pictures:
    S3MIRRORD_PICTURES=/srv/example cargo test --locked --test all -- page::it_can_be_read
    python3 -c 'import sys; from PIL import Image; [Image.open(f).convert("RGB").quantize(128, dither=0).save(f, optimize=True) for f in sys.argv[1:]]' docs/status-*.png
    rm -r /srv/example

# N seeds of the simulation, from seed FROM on: how many a minute, and how often each fault was injected.
storm N="100000" FROM="0":
    S3MIRRORD_SEEDS={{N}} S3MIRRORD_FROM={{FROM}} cargo test --locked --release --test simulation -- --nocapture promises_hold

# Formatting, and every lint as an error, with and without the demo.
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    cargo clippy --locked --all-targets --no-default-features -- -D warnings

# What the pure floors cost by the item, or those rooms whose path holds FILTER.
bench *FILTER:
    cargo bench --locked -- {{FILTER}}

# s3mirrord and its peers side by side (benches/peers.py --help tells the scenarios): docs/PERFORMANCE.md.
bench-peers *ARGS: release
    cargo build --locked --release --example floor
    python3 benches/peers.py {{ARGS}}

# What it does while the store asks for less (`slowdown`), or over a slow link (`link`).
bench-slowly *ARGS: release
    python3 benches/slowly.py {{ARGS}}

# Bugs that must be caught, made one at a time in a copy: docs/TESTING.md.
mutants *ARGS:
    python3 tests/mutants.py {{ARGS}}

# The pure floors again, one small change after another (cargo install --locked cargo-mutants): docs/TESTING.md.
mutants-pure *ARGS:
    python3 tests/pure.py {{ARGS}}

# Invented input for TARGET (config, key, listing, event) until one breaks what is promised: docs/TESTING.md.
fuzz TARGET SECONDS="300" *ARGS:
    mkdir -p fuzz/found/{{TARGET}}
    cp Cargo.lock fuzz/Cargo.lock
    cargo fuzz run --sanitizer none {{TARGET}} fuzz/found/{{TARGET}} fuzz/corpus/{{TARGET}} -- \
        -max_total_time={{SECONDS}} -max_len=4096 -timeout=10 -dict=fuzz/words/{{TARGET}} {{ARGS}}

# Twenty minutes of changes, kills and faults, and an account of every version: docs/TESTING.md.
soak *ARGS: release
    python3 benches/soak.py {{ARGS}}

# A nasty tree of 100,000 files and a sparse GiB, up and back by each tool, compared by a script of its own; as root.
roundtrip *ARGS: release
    python3 benches/roundtrip.py {{ARGS}}

# Licences, advisories, sources (cargo install --locked cargo-deny).
deny:
    cargo deny --locked check

# A directory kept equal to a bucket, both on this machine; no account needed.
demo *ARGS:
    cargo run --locked --quiet -- demo {{ARGS}}

# What systemd says of the units.
units:
    cargo test --locked --test all -- units

# The documentation of the code, opened in a browser.
doc:
    cargo doc --locked --no-deps --document-private-items --open

# Formats everything.
fmt:
    cargo fmt
