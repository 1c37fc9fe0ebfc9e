//! What is taken out of a request, with our own words where it cannot be: every refusal has the same form.

use super::errors::Failure;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A body of JSON, of a request or of an answer.
pub(super) struct Json<T>(pub(super) T);

/// What stands behind the `?`.
pub(super) struct Query<T>(pub(super) T);

/// The parts of the path that are names.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Failure> {
        let body = axum::Json::<T>::from_request(request, state).await;
        body.map(|body| Json(body.0)).map_err(|error| Failure::unfit(error.status(), error.body_text()))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Failure> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Query(query.0)).map_err(|error| Failure::unfit(error.status(), error.body_text()))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Failure> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Path(path.0)).map_err(|error| Failure::unfit(error.status(), error.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ErrorBody;
    use crate::api::routes::complaints;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::{Method, StatusCode};
    use axum::routing::{get, post};
    use serde_json::Value;
    use tower::ServiceExt;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        limit: u8,
    }

    fn router() -> Router {
        let router = Router::new()
            .route("/look", get(|Query(asked): Query<Asked>| async move { Json(asked.limit) }))
            .route("/vms/{vm}", get(|Path(vm): Path<String>| async move { Json(vm) }))
            .route("/act", post(|Json(asked): Json<Asked>| async move { Json(asked.limit) }));
        complaints(router)
    }

    async fn ask(method: Method, path: &str, kind: Option<&str>, body: &str) -> (StatusCode, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let answer = router().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        (answer.status(), to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn whatever_is_wrong_is_said_in_the_one_form() {
        const JSON: Option<&str> = Some("application/json");
        for (method, path, kind, body, status) in [
            (Method::GET, "/nowhere", None, "", 404),
            (Method::DELETE, "/look", None, "", 405),
            (Method::GET, "/look?limit=many", None, "", 400),
            (Method::GET, "/look?limit=1&more=2", None, "", 400),
            (Method::GET, "/vms/%FF", None, "", 400),
            (Method::POST, "/act", None, r#"{"limit":1}"#, 415),
            (Method::POST, "/act", JSON, "{", 400),
            (Method::POST, "/act", JSON, r#"{"limit":1,"more":2}"#, 422),
            (Method::POST, "/act", JSON, r#"{"limit":1000}"#, 422),
        ] {
            let (found, text) = ask(method, path, kind, body).await;
            assert_eq!(found.as_u16(), status, "{path} {body}");
            let error: ErrorBody =
                serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path} {body}: {error}"));
            assert!(!error.error.is_empty() && !error.code.is_empty(), "{path}: {error:?}");
        }
    }

    #[tokio::test]
    async fn any_name_comes_through_a_path() {
        for name in ["a/b", "a b", "ä", "%2E", "a?b#c", ".a", "..."] {
            let path = format!("/vms/{}", crate::client::segment(name));
            let (status, text) = ask(Method::GET, &path, None, "").await;
            assert_eq!(
                (status, serde_json::from_slice::<Value>(&text).unwrap()),
                (StatusCode::OK, name.into()),
                "{path}"
            );
        }
    }
}
