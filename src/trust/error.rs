//! What can go wrong with keys and certificates.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a key or certificate cannot be made, kept, read or used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file could not be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("{path} cannot be written; what was there before still is")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read a private key.
    #[error(
        "{path} holds a private key and has mode {mode:03o}: chmod 600 it, and replace it if others can log in here"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file is not what it should be.
    #[error("{path} holds no {wanted} in PEM; restore it, or join this host anew")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A key and a certificate are not of the same pair.
    #[error(
        "the private key does not belong to the certificate of '{name}'; restore both from one source, or join anew"
    )]
    Unpaired {
        /// Whose certificate.
        name: String,
    },
    /// A certificate is not of this authority.
    #[error("the certificate of '{name}' is not of this cluster's authority; join this host anew")]
    Foreign {
        /// Whose certificate.
        name: String,
    },
    /// A certificate cannot be read.
    #[error("what was given as a certificate is none")]
    NoCertificate,
    /// A certificate is not one that an authority of Holdfast makes.
    #[error("the certificate names no role of Holdfast")]
    NoRole,
    /// A signing request cannot be taken.
    #[error("the signing request cannot be taken: {0}")]
    Request(&'static str),
    /// A name cannot stand in a certificate.
    #[error("'{0}' cannot stand in a certificate: 1 to 64 bytes of plain text are needed")]
    Name(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness, so no key can be made; try again")]
    NoRandomness,
    /// Keys or certificates could not be made.
    #[error("a key or certificate could not be made")]
    Make(#[source] rcgen::Error),
    /// TLS does not take the key or certificate.
    #[error("TLS does not take the key or certificate")]
    Tls(#[source] rustls::Error),
}
