//! Where a route's requests go: shares, copies, sessions; and which pages may send them.

use super::route::FieldChangesDoc;
use crate::document::document;
use crate::source::At;
use crate::value::{CookieName, CorsMethod, CorsName, FieldName, Millis, Origin, Share};
use ondol_core::id::ServiceName;

document! {
    /// A service that takes a share of a route's requests.
    "a backend" struct BackendDoc {
        /// Which.
        service: At<ServiceName>,
        /// Its share is this by the sum of all weights. `0`: none.
        weight: At<u32> = "1",
        /// Changes to the header fields of its requests, after those of the route.
        request_headers: Option<FieldChangesDoc>,
        /// Changes to the header fields of their answers, before those of the route.
        response_headers: Option<FieldChangesDoc>,
    }
}

document! {
    /// A service that gets copies of a route's requests. Its answers are thrown away, and the client waits for none.
    "a mirror" struct MirrorDoc {
        /// Which.
        service: At<ServiceName>,
        /// Of the requests.
        share: At<Share> = "100 %",
    }
}

document! {
    /// Which pages of other origins may use a route. Preflights are answered here, without a token; what a service itself says of origins is left out.
    "cors" struct CorsDoc {
        /// Such as `https://shop.example`, `https://*.shop.example` (one or more labels) or `*`.
        allow_origins: Vec<At<Origin>>,
        /// Methods beyond `GET`, `HEAD` and `POST`, which browsers always allow; `*`: all.
        allow_methods: Vec<At<CorsMethod>>,
        /// Request headers that a page may set; `*`: all.
        allow_headers: Vec<At<CorsName>>,
        /// Answer headers that a page may read; `*`: all.
        expose_headers: Vec<At<CorsName>>,
        /// Whether pages may send cookies and the like.
        allow_credentials: At<bool> = "false",
        /// How long a browser may keep what a preflight said.
        max_age: At<Millis> = "5s",
    }
}

document! {
    /// Requests of one session go to the same instance while it is there: one of `cookie` and `header`.
    "a session" struct SessionDoc {
        /// The token is in this cookie; the browser keeps it.
        cookie: Option<At<CookieName>>,
        /// The token is in this header, of the answer and then of the client's requests.
        header: Option<At<FieldName>>,
        /// A session begins anew after this. Absent: never.
        absolute_timeout: Option<At<Millis>>,
        /// A session begins anew when this long no request of it was answered. Each answer then renews the token. At least `1s`. Absent: never.
        idle_timeout: Option<At<Millis>>,
        /// The cookie outlives the browser, up to `absolute_timeout`.
        permanent: At<bool> = "false",
    }
}
