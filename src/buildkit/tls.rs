//! TLS towards a daemon that has its own certificate authority.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::TlsFiles;

/// What is announced by ALPN. A `buildkitd` since 0.17 insists on `h2`, older ones and Engines do not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpn {
    /// Nothing: HTTP/1.1.
    Silent,
    /// `h2`.
    Http2,
}

/// Makes the handshake. The certificate must be for the server name in `files`, else for `host`.
pub(super) async fn wrap(stream: TcpStream, host: &str, files: &TlsFiles, alpn: Alpn) -> io::Result<TlsStream<TcpStream>> {
    let config = Arc::new(configure(files, alpn)?);
    let name = files.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsConnector::from(config).connect(name, stream).await
}

fn configure(files: &TlsFiles, alpn: Alpn) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| in_file(&files.ca, &error))?;
    }
    // Named, because the process may hold more than one provider and rustls does not choose.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(io::Error::other)?.with_root_certificates(roots);
    let mut config = match &files.identity {
        Some((certificate, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
            builder.with_client_auth_cert(certificates(certificate)?, private).map_err(|error| in_file(certificate, &error))?
        }
        None => builder.with_no_client_auth(),
    };
    if alpn == Alpn::Http2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(config)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| in_file(file, &error))?;
    if read.is_empty() {
        return Err(in_file(file, &"it holds no certificate"));
    }
    Ok(read)
}

fn in_file(file: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display()))
}
