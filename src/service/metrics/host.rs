//! Whom a request was meant for. A page in a browser may have its own name lead to this host (DNS rebinding) and read what is
//! told here: its requests carry that name, and are refused.

use std::net::IpAddr;

/// Names that are answered to, beside the address that a request came to.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The one of the configuration.
    own: String,
}

impl Names {
    /// `address` is that of the configuration, with its port.
    pub(super) fn new(address: &str) -> Self {
        Self { own: without_port(address).to_owned() }
    }

    /// True if a request with this `Host` header, which came to the address `at`, was meant for us.
    pub(super) fn has(&self, host: &str, at: IpAddr) -> bool {
        let host = without_port(host);
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            // an address is no name that somebody else can have lead here
            Ok(address) => address.is_loopback() || address.to_canonical() == at.to_canonical(),
            Err(_) => host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case(&self.own),
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_mean_us_are_answered() {
        let at: IpAddr = [10, 0, 0, 5].into();
        let (usual, named) = (Names::new("127.0.0.1:9633"), Names::new("Backup.example:9633"));
        for (host, want, by_name) in [
            ("127.0.0.1:9633", true, true),
            ("127.0.0.1", true, true),
            ("127.8.8.8:1", true, true),
            ("[::1]:9633", true, true),
            ("[::1]", true, true),
            ("localhost:9633", true, true),
            ("LOCALHOST", true, true),
            ("10.0.0.5:9633", true, true),
            ("10.0.0.6:9633", false, false),
            ("backup.example:80", false, true),
            ("evil.example:9633", false, false),
            ("localhost.evil.example", false, false),
            ("127.0.0.1.evil.example", false, false),
            ("evil.example:9633@localhost", false, false),
            ("", false, false),
            (":9633", false, false),
            ("[::1", false, false),
        ] {
            assert_eq!((usual.has(host, at), named.has(host, at)), (want, by_name), "{host}");
        }
    }
}
