//! The status page: files of `console/`, compiled in, and nothing from elsewhere.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Scripts, styles and calls from this server only; no frames, no forms elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Where the page and its files are; it asks for a token itself where one is needed.
pub const PATHS: [&str; 3] = ["/", "/app.js", "/style.css"];

/// `/` and its files.
pub fn routes() -> Router {
    Router::new()
        .route(
            PATHS[0],
            get(|| async {
                file("text/html; charset=utf-8", include_str!("../console/index.html"))
            }),
        )
        .route(
            PATHS[1],
            get(|| async {
                file("text/javascript; charset=utf-8", include_str!("../console/app.js"))
            }),
        )
        .route(
            PATHS[2],
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
