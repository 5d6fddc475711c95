//! L4, the configuration: raw TOML to a valid `Config`.
