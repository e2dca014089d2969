//! A client of HTTP/1.1 that sends exactly what a test says, on one connection a request or on one
//! for all.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The one shape of failures; returns the code.
    pub fn fault(&self) -> String {
        let error = &self.json()["error"];
        for key in ["code", "message", "hint", "correlation_id"] {
            assert!(error[key].is_string(), "no `{key}`: {self:?}");
        }
        assert!(!error["message"].as_str().unwrap_or_default().is_empty(), "{self:?}");
        error["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// `GET` of a path with its query, which must be encoded.
pub fn get(address: SocketAddr, path: &str) -> Reply {
    request(address, "GET", path, &[], "")
}

/// `POST` of JSON.
pub fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend(headers);
    request(address, "POST", path, &all, &body.to_string())
}

/// Any request. `Host` is the address unless it is among `headers`; an empty one is left out.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let all: Vec<_> = [("Connection", "close")].iter().chain(headers).copied().collect();
    let mut stream = connect(address);
    stream.write_all(message(address, method, path, &all, body).as_bytes()).expect("sent");
    let mut bytes = Vec::new();
    // A server that refuses a body unread resets the connection after its answer.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(!bytes.is_empty(), "{method} {path}: {error}");
    }
    parse(&bytes).unwrap_or_else(|| {
        panic!("{method} {path}: no HTTP: {:?}", String::from_utf8_lossy(&bytes))
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(crate::program::PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

fn message(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{head}\r\n{body}")
}

/// One connection for many requests; another one takes its place when the server ends it.
pub struct Connection {
    address: SocketAddr,
    kept: Option<BufReader<TcpStream>>,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Connection { address, kept: None }
    }

    /// As [`get`].
    pub fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path, &[], "")
    }

    /// As [`request`].
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let text = message(self.address, method, path, headers, body);
        // A connection that was kept may have been ended meanwhile.
        for kept in [self.kept.take(), None] {
            let mut stream = kept.unwrap_or_else(|| BufReader::new(connect(self.address)));
            if stream.get_mut().write_all(text.as_bytes()).is_err() {
                continue;
            }
            let Some(bytes) = whole(&mut stream) else { continue };
            let reply = parse(&bytes).unwrap_or_else(|| panic!("{method} {path}: no HTTP"));
            if reply.header("connection") != Some("close") {
                self.kept = Some(stream);
            }
            return reply;
        }
        panic!("{method} {path}: no answer")
    }
}

/// One answer as it came, to the end of its body.
fn whole(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut bytes).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let chunked =
        head.lines().any(|l| l.starts_with("transfer-encoding:") && l.contains("chunked"));
    if !chunked {
        take(stream, &mut bytes, length)?;
        return Some(bytes);
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
        bytes.extend(line.as_bytes());
        take(stream, &mut bytes, size + 2)?;
        if size == 0 {
            return Some(bytes);
        }
    }
}

fn take(stream: &mut BufReader<TcpStream>, bytes: &mut Vec<u8>, n: usize) -> Option<()> {
    let start = bytes.len();
    bytes.resize(start + n, 0);
    stream.read_exact(&mut bytes[start..]).ok()
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let chunked = headers.iter().any(|(k, v)| k == "transfer-encoding" && v.contains("chunked"));
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Some(Reply { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let line = body.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&body[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        out.extend(body.get(line + 2..line + 2 + size)?);
        body = body.get(line + 4 + size..)?;
    }
}
