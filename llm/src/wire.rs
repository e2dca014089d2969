//! HTTP to providers: the only file of this crate that names the client.
//!
//! Knows URLs, headers and bytes, no dialect. Invariant: a request goes to the host of its
//! provider's URL and to no other, and neither a URL nor a header is shown.

use crate::clock;
use crate::error::{Error, FailureKind, Fault};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;
use std::time::Duration;

/// One provider's connections.
#[derive(Clone)]
pub(crate) struct Wire {
    client: Client,
    root: Url,
}

/// What a server answered, its body still to come.
pub(crate) struct Reply {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<Duration>,
    body: Response,
}

/// Header names and values.
pub(crate) type Headers = Vec<(String, String)>;

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

impl Wire {
    /// Connections to the server at `url`; `local` ones use no proxy.
    pub fn new(url: &str, local: bool, connect: Duration) -> Result<Self, Error> {
        // The URL may hold a password: it is not repeated.
        let wrong = || Error::Catalog("its `url` is none of http or https".to_owned());
        let root = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(root.scheme(), "http" | "https") || root.host_str().is_none() {
            return Err(wrong());
        }
        if !root.username().is_empty() || root.password().is_some() {
            let reason = "its `url` carries a name or password; give it a key instead";
            return Err(Error::Catalog(reason.to_owned()));
        }
        // Somebody set one before: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = concat!("synod/", env!("CARGO_PKG_VERSION"));
        let client = Client::builder().user_agent(agent).connect_timeout(connect);
        // A redirected request would take the key and the question to somebody else.
        let client = client.redirect(Policy::none()).tcp_nodelay(true);
        let client = if local || is_loopback(&root) { client.no_proxy() } else { client };
        let client = client.build().map_err(|e| Error::Client(e.without_url().to_string()))?;
        Ok(Wire { client, root })
    }

    /// `path`, which may carry a query, behind the root, whose own query stays.
    fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = self.root.clone();
        url.set_path(&format!("{}{path}", self.root.path().trim_end_matches('/')));
        let queries = [self.root.query().unwrap_or_default(), query];
        let queries: Vec<&str> = queries.into_iter().filter(|query| !query.is_empty()).collect();
        url.set_query((!queries.is_empty()).then(|| queries.join("&")).as_deref());
        url
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, headers: &Headers, body: &Value) -> Result<Reply, Fault> {
        send(self.client.post(self.url(path)).json(body), headers).await
    }

    /// Asks for what is there.
    pub async fn get(&self, path: &str, headers: &Headers) -> Result<Reply, Fault> {
        send(self.client.get(self.url(path)), headers).await
    }
}

async fn send(mut request: RequestBuilder, headers: &Headers) -> Result<Reply, Fault> {
    for (name, value) in headers {
        let wrong = |_| Fault::new(FailureKind::Invalid, "a header of the provider is none");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| wrong(e.to_string()))?;
        let mut value = HeaderValue::from_str(value).map_err(|e| wrong(e.to_string()))?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let body = request.send().await.map_err(|error| {
        let kind = if error.is_connect() { FailureKind::Connect } else { FailureKind::Server };
        let kind = if error.is_builder() { FailureKind::Invalid } else { kind };
        let note = match (error.is_connect(), error.is_timeout()) {
            (true, true) => "`connect_ms` is over",
            (true, false) => "",
            _ => "the connection broke before the answer",
        };
        Fault { note: note.to_owned(), ..Fault::said(kind, &error.without_url().to_string()) }
    })?;
    let header = |name: &str| body.headers().get(name).and_then(|v| v.to_str().ok());
    let ms = header("retry-after-ms").and_then(|ms| ms.parse::<u32>().ok());
    let ms = ms.map(|ms| Duration::from_millis(u64::from(ms)));
    let after = header("retry-after").and_then(|v| clock::retry_after(v, clock::now_s()));
    Ok(Reply {
        status: body.status().as_u16(),
        content_type: header("content-type").unwrap_or_default().to_lowercase(),
        retry_after: ms.or(after),
        body,
    })
}

impl Reply {
    /// The next bytes; nothing at the end. A body that breaks off is `Truncated`.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let chunk = self.body.chunk().await.map_err(|error| {
            let said = error.without_url().to_string();
            let note = "the connection broke in the middle".to_owned();
            Fault { note, ..Fault::said(FailureKind::Truncated, &said) }
        })?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }

    /// All of it, at most `bytes_max`.
    pub async fn whole(mut self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            out.extend_from_slice(&chunk);
            if out.len() > bytes_max {
                let note = format!("the reply is over {bytes_max} bytes");
                return Err(Fault::new(FailureKind::Malformed, note));
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(url: &str) -> Wire {
        Wire::new(url, true, Duration::from_secs(1)).expect("a client")
    }

    #[test]
    fn paths_stand_behind_the_root() {
        let shown = |root: &str, path: &str| wire(root).url(path).to_string();
        assert_eq!(shown("http://h:1/v1/", "/models"), "http://h:1/v1/models");
        assert_eq!(shown("http://h:1", "/api/chat"), "http://h:1/api/chat");
        let gemini = shown("http://h/v1beta", "/models/g:streamGenerateContent?alt=sse");
        assert_eq!(gemini, "http://h/v1beta/models/g:streamGenerateContent?alt=sse");
        let azure = shown("https://h/openai?api-version=1", "/chat/completions");
        assert_eq!(azure, "https://h/openai/chat/completions?api-version=1");
    }

    #[test]
    fn a_url_that_is_none_is_not_repeated() {
        for url in ["no url s3cret", "ftp://u:s3cret@h/", "http://u:s3cret@h/", "http://"] {
            let error = Wire::new(url, false, Duration::from_secs(1)).err().expect("refused");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
