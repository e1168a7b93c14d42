//! Addresses of builders, as Docker and buildctl write them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Exit, Failure};

/// Where a builder listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///run/buildkit/buildkitd.sock`.
    Unix(PathBuf),
    /// `tcp://host:1234`, with TLS if there are certificates.
    Tcp {
        /// Host name or address, an IPv6 one without brackets.
        host: String,
        /// Port.
        port: u16,
        /// Certificates; none for a plain connection.
        tls: Option<TlsFiles>,
    },
    /// `ssh://user@host:22`: a Docker Engine on another machine, through its `docker system dial-stdio`.
    Ssh {
        /// `user@host` or `host`.
        login: String,
        /// Port, if not the one ssh would take.
        port: Option<u16>,
    },
}

/// PEM files for TLS in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that may vouch for the daemon.
    pub ca: PathBuf,
    /// Our certificate and its key, if the daemon asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the daemon's certificate, if it is not the endpoint's host.
    pub server_name: Option<String>,
}

impl TlsFiles {
    /// The files that Docker expects in `DOCKER_CERT_PATH`: `ca.pem`, `cert.pem`, `key.pem`.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self { ca: dir.join("ca.pem"), identity: Some((dir.join("cert.pem"), dir.join("key.pem"))), server_name: None }
    }
}

/// An address that kmodforge cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a builder's address: {reason}")]
pub struct EndpointError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let fail = |reason: &str| EndpointError { text: text.to_owned(), reason: reason.to_owned() };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(fail("it has no `unix://`, `tcp://` or `ssh://`"));
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(fail("the path of the socket is not absolute")),
            "tcp" => tcp(rest).map_err(fail),
            "ssh" => ssh(rest).map_err(fail),
            other => Err(fail(&format!("kmodforge has no way to connect by `{other}://`; there are `unix://`, `tcp://` and `ssh://`"))),
        }
    }
}

fn tcp(rest: &str) -> Result<Endpoint, &'static str> {
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, port) = address.trim_end_matches('/').rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse().map_err(|_| "the port is not a number below 65536")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("the host is missing");
    }
    Ok(Endpoint::Tcp { host: host.to_owned(), port, tls: tls(query)? })
}

/// `cacert=FILE&cert=FILE&key=FILE&servername=NAME`, named as the options of buildx's remote driver.
fn tls(query: &str) -> Result<Option<TlsFiles>, &'static str> {
    let (mut ca, mut cert, mut key, mut server_name) = (None, None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("a parameter after `?` has no value")?;
        match name {
            "cacert" => ca = Some(PathBuf::from(value)),
            "cert" => cert = Some(PathBuf::from(value)),
            "key" => key = Some(PathBuf::from(value)),
            "servername" => server_name = Some(value.to_owned()),
            _ => return Err("parameters after `?` are `cacert`, `cert`, `key` and `servername`"),
        }
    }
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err("`cert` and `key` belong together"),
    };
    match ca {
        Some(ca) => Ok(Some(TlsFiles { ca, identity, server_name })),
        None if identity.is_none() && server_name.is_none() => Ok(None),
        None => Err("`cacert` is missing"),
    }
}

fn ssh(rest: &str) -> Result<Endpoint, &'static str> {
    let rest = rest.trim_end_matches('/');
    let (login, port) = match rest.rsplit_once(':') {
        Some((login, port)) => (login, Some(port.parse().map_err(|_| "the port is not a number below 65536")?)),
        None => (rest, None),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "@.-_".contains(c);
    if login.is_empty() || login.starts_with('-') || !login.chars().all(fits) {
        return Err("expected `ssh://[USER@]HOST[:PORT]`");
    }
    Ok(Endpoint::Ssh { login: login.to_owned(), port })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Ssh { login, port: Some(port) } => write!(f, "ssh://{login}:{port}"),
            Self::Ssh { login, port: None } => write!(f, "ssh://{login}"),
        }
    }
}

impl From<EndpointError> for Failure {
    fn from(EndpointError { text, reason }: EndpointError) -> Self {
        Self::new(Exit::Usage, format!("`{text}` is not a builder's address"))
            .fact("found", reason)
            .help("addresses look like `unix:///run/buildkit/buildkitd.sock`, `tcp://host:1234?cacert=ca.pem&cert=cert.pem&key=key.pem`, `ssh://user@host`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_and_buildctl_write() {
        for text in ["unix:///var/run/docker.sock", "tcp://builder.example:1234", "tcp://[::1]:2375", "ssh://me@host.example:2222", "ssh://host"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let tls = TlsFiles { ca: "/c/ca.pem".into(), identity: Some(("/c/cert.pem".into(), "/c/key.pem".into())), server_name: Some("b".to_owned()) };
        assert_eq!(
            "tcp://1.2.3.4:1234?cacert=/c/ca.pem&cert=/c/cert.pem&key=/c/key.pem&servername=b".parse(),
            Ok(Endpoint::Tcp { host: "1.2.3.4".to_owned(), port: 1234, tls: Some(tls) })
        );
    }

    #[test]
    fn refuses_other_addresses_with_the_reason() {
        for (text, reason) in [
            ("/var/run/docker.sock", "it has no `unix://`, `tcp://` or `ssh://`"),
            ("unix://docker.sock", "the path of the socket is not absolute"),
            ("tcp://host", "the port is missing"),
            ("tcp://:1", "the host is missing"),
            ("tcp://host:99999", "the port is not a number below 65536"),
            ("tcp://host:1?cert=a", "`cert` and `key` belong together"),
            ("tcp://host:1?cert=a&key=b", "`cacert` is missing"),
            ("tcp://host:1?insecure=1", "parameters after `?` are `cacert`, `cert`, `key` and `servername`"),
            ("ssh://-oProxyCommand=x", "expected `ssh://[USER@]HOST[:PORT]`"),
            ("npipe:////./pipe/docker", "kmodforge has no way to connect by `npipe://`; there are `unix://`, `tcp://` and `ssh://`"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap_err().reason, reason, "{text}");
        }
        assert_eq!(
            Failure::from("tcp://host".parse::<Endpoint>().unwrap_err()).to_string(),
            "error: `tcp://host` is not a builder's address\n  found     the port is missing\n  help      addresses look like \
             `unix:///run/buildkit/buildkitd.sock`, `tcp://host:1234?cacert=ca.pem&cert=cert.pem&key=key.pem`, `ssh://user@host`"
        );
    }
}
