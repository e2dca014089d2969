//! What goes out over HTTP: JSON to embedding servers, and files of models. The only file of the
//! process that names the HTTP client (`llm/` has one of its own). Invariant: nothing here is
//! called but for what the configuration names,
//! `synod up` announces or a person asked for.

use reqwest::blocking::{Client, Response};
use reqwest::redirect::Policy;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// Time to reach a server.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest reply that is read into memory, in bytes.
const REPLY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest file that is downloaded, in bytes; embedding models are far below.
const DOWNLOAD_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Longest time of a download.
const DOWNLOAD: Duration = Duration::from_secs(3600);

/// Why a request has no answer that can be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is there, or the time is over.
    #[error("{url} does not answer: {reason}")]
    Down {
        /// What was asked.
        url: String,
        /// Why, as the client says.
        reason: String,
    },
    /// Something else than success.
    #[error("{url} answered {status}: {said}")]
    Status {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// The head of its text.
        said: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// What came is not what was asked for.
    #[error("{url}: {reason}")]
    Wrong {
        /// What was asked.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// A request of JSON.
pub struct Ask<'a> {
    /// Where to.
    pub url: &'a str,
    /// What is sent; nothing is a GET.
    pub body: Option<&'a Value>,
    /// A secret for the header.
    pub bearer: Option<&'a str>,
    /// For the whole exchange.
    pub time: Duration,
}

/// What a client may do.
#[derive(Clone, Copy)]
enum Way {
    /// Straight to this machine, whatever proxy is set.
    Here,
    /// To the server that was named, and to no other.
    There,
    /// Where a place that publishes files sends it.
    Anywhere,
}

/// The clients; made when they are first needed, never on a thread of the runtime.
fn client(way: Way) -> Result<&'static Client, String> {
    static CLIENTS: [OnceLock<Result<Client, String>>; 3] = [const { OnceLock::new() }; 3];
    let made = CLIENTS[way as usize].get_or_init(|| {
        let agent = concat!("synod/", env!("CARGO_PKG_VERSION"));
        let provider = rustls::crypto::ring::default_provider();
        // Somebody set one before: as good.
        let _ = provider.install_default();
        let client = Client::builder().user_agent(agent).connect_timeout(CONNECT).timeout(None);
        let client = match way {
            Way::Here => client.no_proxy().redirect(Policy::none()),
            // What is sent is for that server alone.
            Way::There => client.redirect(Policy::none()),
            Way::Anywhere => client,
        };
        client.build().map_err(|e| e.to_string())
    });
    made.as_ref().map_err(Clone::clone)
}

/// A URL as it may be shown: without a name, a password and parameters, which may be secrets.
pub fn shown(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else { return "a URL that is none".to_owned() };
    // Neither can be set on what has no host, and that has neither.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.to_string()
}

fn down(url: &str, error: reqwest::Error) -> Error {
    let mut reason = error.without_url().to_string();
    if reason.contains("error sending request") {
        reason = "no connection".to_owned();
    }
    Error::Down { url: shown(url), reason }
}

/// Posts a body to a webhook; anything but success is an error. Follows no redirect.
///
/// # Errors
/// `Down` and `Status`.
pub fn post(
    url: &str,
    headers: &[(&str, String)],
    body: String,
    time: Duration,
) -> Result<(), Error> {
    let way = if is_loopback(url) { Way::Here } else { Way::There };
    let client = client(way).map_err(|reason| Error::Wrong { url: shown(url), reason })?;
    let mut request = client.post(url).timeout(time).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = request.body(body).send().map_err(|error| down(url, error))?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(Error::Status {
            url: shown(url),
            status: status.as_u16(),
            said: String::new(),
            retry_after: None,
        }),
    }
}

/// Asks for JSON.
///
/// # Errors
/// `Down`, `Status`, `Wrong`.
pub fn json(ask: &Ask) -> Result<Value, Error> {
    let Ask { url, body, bearer, time } = *ask;
    let way = if is_loopback(url) { Way::Here } else { Way::There };
    let client = client(way).map_err(|reason| Error::Wrong { url: shown(url), reason })?;
    let mut request = match body {
        Some(body) => client.post(url).json(body),
        None => client.get(url),
    };
    if let Some(secret) = bearer {
        request = request.bearer_auth(secret);
    }
    let reply = request.timeout(time).send().map_err(|e| down(url, e))?;
    let status = reply.status();
    let header = reply.headers().get("retry-after").and_then(|v| v.to_str().ok());
    let retry_after = header.and_then(|v| v.parse().ok()).map(Duration::from_secs);
    let bytes = whole(url, reply)?;
    if !status.is_success() {
        let said: String = String::from_utf8_lossy(&bytes).chars().take(300).collect();
        let (url, status) = (shown(url), status.as_u16());
        return Err(Error::Status { url, status, said, retry_after });
    }
    let wrong = |reason: String| Error::Wrong { url: shown(url), reason };
    serde_json::from_slice(&bytes).map_err(|e| wrong(format!("its reply is no JSON: {e}")))
}

/// A reply to its end.
fn whole(url: &str, reply: Response) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = reply.take(REPLY_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::Down { url: shown(url), reason: e.to_string() })?;
    if bytes.len() as u64 > REPLY_BYTES_MAX {
        let reason = format!("its reply is over {REPLY_BYTES_MAX} bytes");
        return Err(Error::Wrong { url: shown(url), reason });
    }
    Ok(bytes)
}

/// A text, as of an index page.
///
/// # Errors
/// `Down`, `Status`, `Wrong`.
pub fn text(url: &str) -> Result<String, Error> {
    let bytes = whole(url, open(url)?)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn open(url: &str) -> Result<Response, Error> {
    let client = client(Way::Anywhere);
    let client = client.map_err(|reason| Error::Wrong { url: shown(url), reason })?;
    let reply = client.get(url).timeout(DOWNLOAD).send().map_err(|e| down(url, e))?;
    let status = reply.status().as_u16();
    if !reply.status().is_success() {
        let (url, said) = (shown(url), String::new());
        return Err(Error::Status { url, status, said, retry_after: None });
    }
    Ok(reply)
}

/// Downloads a file to `path` and returns its SHA-256 in hex; `tell` gets bytes done and in all.
///
/// # Errors
/// `Down`, `Status`; `Wrong` when it cannot be written.
pub fn download(url: &str, path: &Path, tell: &dyn Fn(u64, Option<u64>)) -> Result<String, Error> {
    let mut reply = open(url)?;
    let all = reply.content_length();
    let wrong = |e: std::io::Error| {
        let reason = format!("cannot write `{}`: {e}", path.display());
        Error::Wrong { url: shown(url), reason }
    };
    let mut file = std::fs::File::create(path).map_err(wrong)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut done = 0;
    loop {
        let read = reply.read(&mut buffer);
        let n = read.map_err(|e| Error::Down { url: shown(url), reason: e.to_string() })?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        file.write_all(&buffer[..n]).map_err(wrong)?;
        done += n as u64;
        if done > DOWNLOAD_BYTES_MAX {
            let reason = format!("it is over {DOWNLOAD_BYTES_MAX} bytes, which no model is");
            return Err(Error::Wrong { url: shown(url), reason });
        }
        tell(done, all);
    }
    file.sync_all().map_err(wrong)?;
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// Those of reading it.
pub fn sha256(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// `reference` as it stands in a page at `base`.
pub fn join(base: &str, reference: &str) -> Option<String> {
    Some(reqwest::Url::parse(base).ok()?.join(reference).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_a_url_are_not_shown() {
        let url = "https://user:token@pypi.example/simple/?key=s3cret#x";
        assert_eq!(shown(url), "https://pypi.example/simple/");
        assert_eq!(shown("no url: s3cret"), "a URL that is none");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for url in ["http://127.0.0.1:11434", "http://localhost/v1", "http://[::1]:80/"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in
            ["http://127.0.0.1.example/", "https://api.example/v1", "no url", "http://0.0.0.0/"]
        {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
