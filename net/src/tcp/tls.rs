//! [`Tls`]: a connection that nobody on the way can read, and [`Certificate`]: what a listener shows of itself there.
//!
//! rustls does the work, on bytes in memory. Not for: files (a program reads those), nor who a client is: it shows no
//! certificate, a password tells.

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, PoisonError, RwLock};

/// What is encrypted and waits for the socket, at most; the rest waits unencrypted, where it may be dropped (bytes).
const ENCRYPTED: usize = 64 << 10;

/// A certificate with its key, as PEM. It may be replaced while it is in use: copies are the same one.
#[derive(Clone)]
pub struct Certificate {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CertificateError(String);

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificate {
    /// From PEM text: the certificate with those that vouch for it, its own first, and its key.
    ///
    /// # Errors
    /// When one of them is none, or they do not belong together.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Certificate, CertificateError> {
        let provider = Arc::new(ring::default_provider());
        let current = Arc::new(Current(RwLock::new(read(chain, key, &provider)?)));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| CertificateError(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        Ok(Certificate { current, config: Arc::new(config) })
    }

    /// Shows another one from now on; connections that are open go on as they are.
    ///
    /// # Errors
    /// As [`Certificate::new`]; then it stays as it was.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), CertificateError> {
        let new = read(chain, key, self.config.crypto_provider())?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(..)")
    }
}

fn read(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| CertificateError(format!("the certificate is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(CertificateError("there is no CERTIFICATE in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| CertificateError(format!("the key is none: {error}")))?;
    let both = CertifiedKey::from_der(chain, key, provider);
    both.map(Arc::new).map_err(|error| CertificateError(format!("certificate and key: {error}")))
}

/// One connection.
pub(super) struct Tls {
    session: ServerConnection,
    /// What came made no sense: nothing can be said any more but that.
    failed: bool,
}

impl Tls {
    pub(super) fn new(certificate: &Certificate) -> Result<Tls, rustls::Error> {
        let mut session = ServerConnection::new(Arc::clone(&certificate.config))?;
        session.set_buffer_limit(Some(ENCRYPTED));
        Ok(Tls { session, failed: false })
    }

    /// Takes in what came, decrypts it into `buffer`, piece by piece, and gives each away. Returns whether the peer has sent all
    /// it wanted to.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        buffer: &mut [u8],
        on_piece: &mut impl FnMut(&[u8]),
    ) -> Result<bool, rustls::Error> {
        let received = self.decrypt(bytes, buffer, on_piece);
        self.failed |= received.is_err();
        received
    }

    fn decrypt(
        &mut self,
        mut bytes: &[u8],
        buffer: &mut [u8],
        on_piece: &mut impl FnMut(&[u8]),
    ) -> Result<bool, rustls::Error> {
        let mut finished = false;
        while !bytes.is_empty() && !finished {
            // Reading from memory cannot fail; what is left is that it takes no more, which the next line ends.
            if self.session.read_tls(&mut bytes).is_err() {
                return Err(rustls::Error::General("too much at once".to_owned()));
            }
            finished = self.session.process_new_packets()?.peer_has_closed();
            while let Ok(length) = self.session.reader().read(buffer)
                && length > 0
            {
                on_piece(&buffer[..length]);
                // A password may be in it.
                buffer[..length].fill(0);
            }
        }
        Ok(finished)
    }

    /// Whether both sides have agreed how they encrypt.
    pub(super) fn is_ready(&self) -> bool {
        !self.failed && !self.session.is_handshaking()
    }

    /// Whether something encrypted waits.
    pub(super) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Encrypts and writes. Returns how many of these bytes it took; some of them may wait, encrypted.
    ///
    /// # Errors
    /// What the socket says. [`io::ErrorKind::WouldBlock`]: nothing of these bytes was taken.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>], socket: &mut impl Write) -> io::Result<usize> {
        self.flush(socket)?;
        let length = self.session.writer().write_vectored(slices)?;
        match self.flush(socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(length),
        }
    }

    /// Writes what waits, encrypted.
    ///
    /// # Errors
    /// What the socket says, [`io::ErrorKind::WouldBlock`] too.
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(socket)?;
        }
        Ok(())
    }

    /// Says that nothing more will come.
    pub(super) fn close(&mut self) {
        self.session.send_close_notify();
    }
}
