//! The HTTP server: MCP at `/mcp`, the legacy transport at `/sse`, REST at `/v1`, a status page.
//!
//! One middleware for all of them: Host and Origin, token, body limit. Invariant: off loopback
//! nothing but `/health`, `/ready` and the files of the page, which hold no data, is answered
//! without a token.

use crate::config::Config;
use crate::dispatch::Caller;
use crate::entrance::{Entrance, Stay};
use crate::fault::{self, Fault};
use crate::hub::Hub;
use crate::mcp::Servers;
use crate::stream::Streams;
use crate::world::World;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::tower::StreamableHttpServerConfig;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;
use synod_store::{Scope, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How MCP is served over HTTP.
#[derive(Clone, Debug)]
pub struct McpOptions {
    /// Sessions for clients of the older protocol. The product keeps none: they are lost with the
    /// process and many clients never begin a new one.
    pub sessions: bool,
    /// Plain JSON where no stream is needed.
    pub json: bool,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Ends open streams, and calls that run, without an answer.
    pub stop: CancellationToken,
}

/// MCP at `/mcp` for any handler: the transport that the product serves, and that the conformance
/// suite scores.
pub fn mcp_app<H: ServerHandler + Clone>(handler: H, options: McpOptions) -> Router {
    // Host and Origin are the gate's business, which knows the bound address and the settings.
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_legacy_session_mode(options.sessions)
        .with_json_response(options.json)
        .with_max_request_body_bytes(options.body_bytes_max)
        .with_cancellation_token(options.stop);
    let service = StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    Router::new().route_service("/mcp", service).layer(map_response(speak_json_rpc))
}

/// rmcp refuses some requests in plain text; a client that probes for the newer protocol looks for
/// a JSON-RPC error in the body.
async fn speak_json_rpc(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|h| h.to_str().ok());
    let json = kind.is_some_and(|kind| kind.contains("json") || kind.contains("event-stream"));
    if !response.status().is_client_error() || json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let message = if text.is_empty() { parts.status.to_string() } else { text.into_owned() };
    let error = json!({ "code": -32600, "message": message });
    parts.headers.remove(header::CONTENT_LENGTH);
    let value = HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, value);
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string();
    Response::from_parts(parts, Body::from(body))
}

/// The framework's own refusals (method, body limit, extractors) in the one shape of errors.
async fn speak_rest(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|h| h.to_str().ok());
    if !response.status().is_client_error() || kind.is_some_and(|kind| kind.contains("json")) {
        return response;
    }
    let code = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => fault::METHOD,
        StatusCode::PAYLOAD_TOO_LARGE => fault::TOO_LARGE,
        StatusCode::NOT_FOUND => fault::NOT_FOUND,
        _ => fault::INVALID,
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let body = axum::body::to_bytes(response.into_body(), REFUSAL_BYTES_MAX).await;
    let text = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    let text = if text.is_empty() { code.meaning.to_owned() } else { text };
    let mut refused = refuse(&Fault::new(code, text));
    if let Some(allow) = allow {
        refused.headers_mut().insert(header::ALLOW, allow);
    }
    refused
}

/// Longest text of a refusal that is passed on, in bytes.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;

/// Who may come in.
#[derive(Clone)]
pub struct Gate {
    loopback: bool,
    hosts: Arc<[String]>,
    origins: Arc<[String]>,
    local_scopes: Arc<[Scope]>,
    token_needed: bool,
    store: Option<Arc<Store>>,
}

impl Gate {
    /// For a server bound to `address`.
    pub fn new(address: SocketAddr, config: &Config, store: Option<Arc<Store>>) -> Self {
        let loopback = address.ip().is_loopback();
        Gate {
            loopback,
            hosts: config.server.allowed_hosts.clone().into(),
            origins: config.server.allowed_origins.clone().into(),
            local_scopes: config.access.local_scopes.clone().into(),
            token_needed: !loopback || config.access.require_token,
            store,
        }
    }

    /// A foreign Host on loopback is DNS rebinding. Off loopback the hosts must be named.
    fn host_fits(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST).and_then(|h| h.to_str().ok()) else {
            return false;
        };
        let name = without_port(host);
        let listed = |known: &String| known == host || known == name;
        is_loopback_name(name)
            || self.hosts.iter().any(listed)
            || (!self.loopback && self.hosts.is_empty() && ip(name).is_some())
    }

    fn origin_fits(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.origins.iter().any(|known| known == origin) {
            return true;
        }
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|a| is_loopback_name(without_port(a)))
    }

    /// The caller that the headers speak for.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Fault> {
        let given = match headers.get(header::AUTHORIZATION).map(HeaderValue::to_str) {
            Some(Ok(given)) => Some(given),
            // Whoever shows a token is never taken for somebody who has none.
            Some(Err(_)) => {
                let text = "the Authorization header has other characters than those of a token; \
                            send it as `Authorization: Bearer …`";
                return Err(Fault::new(fault::UNAUTHENTICATED, text));
            }
            None => crate::socket::token(headers),
        };
        let Some(given) = given else {
            if self.token_needed {
                return Err(Fault::new(
                    fault::UNAUTHENTICATED,
                    "a token is needed here; make one with `synod token add NAME` and send it as \
                     `Authorization: Bearer …`, a browser's WebSocket as the protocol \
                     `synod.bearer.…` beside `synod`",
                ));
            }
            let scopes = self.local_scopes.to_vec();
            return Ok(Caller { scopes, face: "http", account: String::new() });
        };
        let secret = secret(given);
        let scopes = match &self.store {
            Some(store) => store.check_token(secret)?,
            None => None,
        };
        let Some(scopes) = scopes else {
            return Err(Fault::new(
                fault::UNAUTHENTICATED,
                "the token is not known, or was revoked; see `synod token list`",
            ));
        };
        // The account is a hash: a log or a metric never holds the secret.
        let account = account(secret);
        Ok(Caller { scopes, face: "http", account })
    }
}

/// The secret behind `Bearer`, in whatever case that is; without such a word all of it.
fn secret(given: &str) -> &str {
    match given.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => secret.trim(),
        _ => given.trim(),
    }
}

/// Under which name what a token's owner leaves is kept: the same for as long as the token.
fn account(secret: &str) -> String {
    let hash = synod_store::content_hash(secret.as_bytes());
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn without_port(host: &str) -> &str {
    if let Some(end) = host.strip_prefix('[').and_then(|h| h.find(']')) {
        let port = host[end + 2..].strip_prefix(':').unwrap_or(&host[end + 2..]);
        return if port.bytes().all(|b| b.is_ascii_digit()) { &host[..end + 2] } else { host };
    }
    // Only digits are a port: `127.0.0.1:80.evil.example` names another host.
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// An address as it stands in a URL: one of IPv6 in brackets.
fn ip(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    bare.unwrap_or(name).parse().ok()
}

fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || ip(name).is_some_and(|ip| ip.is_loopback())
}

/// The middleware of every route.
async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !gate.host_fits(headers) {
        let text = "the Host header names another server; use the address the server printed, or \
                    add the name to `server.allowed_hosts`";
        return refuse(&Fault::new(fault::FORBIDDEN, text));
    }
    if !gate.origin_fits(headers) {
        let text = "the Origin is not allowed; add it to `server.allowed_origins`";
        return refuse(&Fault::new(fault::FORBIDDEN, text));
    }
    let origin = headers.get(header::ORIGIN).cloned();
    let preflight = request.method() == axum::http::Method::OPTIONS;
    let path = request.uri().path();
    let open = matches!(path, "/health" | "/ready") || crate::page::PATHS.contains(&path);
    let mut response = if preflight && origin.is_some() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        match gate.caller(request.headers()) {
            Ok(caller) => {
                if let Some(ConnectInfo(stay)) = request.extensions().get::<ConnectInfo<Stay>>() {
                    stay.grant();
                }
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            Err(_) if open => next.run(request).await,
            Err(fault) => refuse(&fault),
        }
    };
    if let Some(origin) = origin {
        allow_origin(response.headers_mut(), origin);
    }
    response
}

/// The allowed origin by name, never a wildcard.
fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let methods = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed = "authorization, content-type, accept, idempotency-key, last-event-id, \
                   mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, traceparent, \
                   tracestate";
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    let exposed = HeaderValue::from_static("mcp-session-id, location, retry-after");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

/// A fault as a REST reply.
pub fn refuse(fault: &Fault) -> Response {
    let status = StatusCode::from_u16(fault.code.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, axum::Json(fault.to_json())).into_response();
    if fault.code == fault::UNAUTHENTICATED {
        let value = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    if let Some(ms) = fault.retry_after_ms {
        let seconds = ms.div_ceil(1000).to_string();
        if let Ok(value) = HeaderValue::from_str(&seconds) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    response
}

/// Bytes of a refused body that are read and dropped, so that the answer reaches who still sends.
const REFUSED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest time for it.
const REFUSED_TIME: Duration = Duration::from_secs(10);

/// A refused body is read to its end: the connection would be reset otherwise, and the answer lost
/// with it.
async fn linger(State(body_bytes_max): State<usize>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|h| h.to_str().ok());
    let length = length.and_then(|text| text.parse::<usize>().ok());
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    if length.is_none_or(|bytes| bytes <= body_bytes_max) && !chunked {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let shared = Arc::new(Mutex::new(body.into_data_stream()));
    let passed_on = Arc::clone(&shared);
    let next_data = move |cx: &mut Context<'_>| {
        passed_on.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(cx)
    };
    let body = Body::from_stream(futures::stream::poll_fn(next_data));
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let mut left = REFUSED_BYTES_MAX;
        let rest = futures::stream::poll_fn(|cx| {
            shared.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(cx)
        });
        let dropped = rest.take_while(|data| {
            left = left.saturating_sub(data.as_ref().map_or(usize::MAX, |data| data.len()));
            std::future::ready(left > 0)
        });
        let _ = tokio::time::timeout(REFUSED_TIME, dropped.for_each(|_| async {})).await;
    }
    response
}

/// Puts the gate and the body limit around any routes.
pub fn guarded(routes: Router, gate: Gate, body_bytes_max: usize) -> Router {
    routes
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(map_response(speak_rest))
        .layer(from_fn_with_state(body_bytes_max, linger))
        .layer(from_fn_with_state(gate, admit))
}

/// Everything the product serves.
fn app(world: &World, servers: &Servers, gate: Gate, stop: CancellationToken) -> Router {
    let body_bytes_max = world.config.get().server.body_bytes_max;
    let local = Caller {
        // The gate has put the caller into every request; this one is never used without it.
        scopes: Vec::new(),
        face: "http",
        account: String::new(),
    };
    // Calls that run are answered after `stop` too: only the end of the process ends them. Streams
    // that listen end with the hub.
    let never = CancellationToken::new();
    let options = McpOptions { sessions: false, json: true, body_bytes_max, stop: never };
    let ready = Arc::clone(&world.door.context().index);
    let door = Arc::clone(&world.door);
    let routes = mcp_app(servers.connect(local, false), options)
        .merge(crate::sse::routes(servers.clone(), stop.clone()))
        .merge(crate::stream::routes(Streams::new(Arc::clone(&world.door), stop)))
        .merge(crate::rest::routes(Arc::clone(&world.door)))
        .merge(crate::page::routes())
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(move || async move { readiness(&ready) }))
        .route("/metrics", get(move || async move { door.metrics() }))
        .fallback(|| async {
            refuse(&Fault::new(fault::NOT_FOUND, "no such route; see `/v1/openapi.json`"))
        });
    guarded(routes, gate, body_bytes_max)
}

fn readiness(index: &synod_index::Index) -> Response {
    match index.generation() {
        Ok(_) => "ready\n".into_response(),
        Err(error) => refuse(&Fault::from(error)),
    }
}

/// Binds, with a clear fault when the address cannot be had.
///
/// # Errors
/// `unprocessable`, saying what to do.
pub async fn bind(address: &str) -> Result<TcpListener, Fault> {
    TcpListener::bind(address).await.map_err(|error| {
        Fault::new(
            fault::UNPROCESSABLE,
            format!("cannot listen on `{address}`: {error}; name another address with `--http`, port 0 takes a free one"),
        )
    })
}

/// Serves until `stop`; open streams end with it.
///
/// # Errors
/// `internal` when accepting connections fails for good.
pub async fn serve(
    world: &World,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let address = listener.local_addr().map_err(|e| Fault::internal(&e))?;
    let cx = world.door.context();
    let store = Arc::clone(&cx.store);
    let hub = Hub::start(Arc::clone(&cx.index), Arc::clone(&store));
    let (listened, ended) = (Arc::downgrade(&hub), stop.clone());
    tokio::spawn(async move {
        ended.cancelled().await;
        if let Some(hub) = listened.upgrade() {
            hub.close();
        }
    });
    let servers = Servers::new(Arc::clone(&world.door), hub)?;
    let gate = Gate::new(address, &world.config.get(), Some(store));
    let routes = app(world, &servers, gate, stop.clone());
    serve_routes(listener, routes, stop).await
}

/// Serves any routes on a listener.
///
/// # Errors
/// `internal` when accepting connections fails for good.
pub async fn serve_routes(
    listener: TcpListener,
    routes: Router,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let routes = routes.into_make_service_with_connect_info::<Stay>();
    axum::serve(Entrance::new(listener), routes)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
        .map_err(|error| Fault::internal(&error))
}

/// An empty body with a status.
pub fn status(code: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(address: &str, hosts: &[&str]) -> Gate {
        let mut config = Config::default();
        config.server.allowed_hosts = hosts.iter().map(|h| (*h).to_owned()).collect();
        Gate::new(address.parse().unwrap(), &config, None)
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn hosts_and_origins_are_checked() {
        let loopback = gate("127.0.0.1:7717", &[]);
        let fits = |host| loopback.host_fits(&headers(header::HOST, host));
        assert!(fits("localhost:7717") && fits("127.0.0.1") && fits("[::1]:7717"));
        assert!(!fits("evil.example") && !fits("127.0.0.1.evil.example") && !fits("192.168.0.9"));
        let public = gate("0.0.0.0:7717", &["synod.example"]);
        assert!(public.host_fits(&headers(header::HOST, "synod.example:7717")));
        assert!(!public.host_fits(&headers(header::HOST, "other.example")));
        let unnamed = gate("[::]:7717", &[]);
        for host in ["192.168.0.9:7717", "[2001:db8::9]:7717", "[2001:db8::9]"] {
            assert!(unnamed.host_fits(&headers(header::HOST, host)), "{host}");
        }
        assert!(!unnamed.host_fits(&headers(header::HOST, "other.example")));
        let origin = |o| loopback.origin_fits(&headers(header::ORIGIN, o));
        assert!(origin("http://localhost:3000") && origin("http://127.0.0.1:7717"));
        assert!(
            !origin("http://127.0.0.1:80.evil.example") && !origin("http://[::1].evil.example")
        );
        assert!(
            !origin("https://evil.example")
                && !origin("null")
                && !origin("http://localhost.evil.example")
        );
    }

    #[test]
    fn a_secret_stands_behind_its_scheme_or_alone() {
        for given in ["Bearer syn x", "bearer  syn x", "BEARER syn x ", "syn x"] {
            assert_eq!(secret(given), "syn x", "{given}");
        }
    }

    #[test]
    fn off_loopback_a_token_is_needed() {
        assert!(gate("127.0.0.1:1", &[]).caller(&HeaderMap::new()).is_ok());
        assert!(gate("0.0.0.0:1", &[]).caller(&HeaderMap::new()).is_err());
        assert!(
            gate("127.0.0.1:1", &[]).caller(&headers(header::AUTHORIZATION, "Bearer x")).is_err()
        );
        // What cannot be read as a token is not none.
        let odd = HeaderValue::from_bytes(b"Bearer t\xe9").unwrap();
        let odd = HeaderMap::from_iter([(header::AUTHORIZATION, odd)]);
        let refused = gate("127.0.0.1:1", &[]).caller(&odd).unwrap_err();
        assert_eq!(refused.code, fault::UNAUTHENTICATED);
        // Among the protocols of a WebSocket it is a token too, and elsewhere nothing.
        let mut offered = headers(header::SEC_WEBSOCKET_PROTOCOL, "synod, synod.bearer.x");
        assert!(gate("127.0.0.1:1", &[]).caller(&offered).is_ok());
        offered.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        assert!(gate("127.0.0.1:1", &[]).caller(&offered).is_err());
        assert_eq!(crate::socket::token(&offered), Some("x"));
    }
}
