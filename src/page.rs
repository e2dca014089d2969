//! The status page: files of `console/`, compiled in, and nothing from elsewhere.

use crate::dispatch::Door;
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// Scripts, styles and calls from this server only; no frames, no forms elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `/` and its files.
pub fn routes(_door: Arc<Door>) -> Router {
    Router::new()
        .route(
            "/",
            get(|| async {
                file("text/html; charset=utf-8", include_str!("../console/index.html"))
            }),
        )
        .route(
            "/app.js",
            get(|| async {
                file("text/javascript; charset=utf-8", include_str!("../console/app.js"))
            }),
        )
        .route(
            "/style.css",
            get(|| async { file("text/css; charset=utf-8", include_str!("../console/style.css")) }),
        )
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
