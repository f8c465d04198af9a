//! What a page says when something cannot be done: the code, what would help, and the request's id.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::fault::Fault;
use crate::http::problem::Problem;
use crate::service::view::ProblemView;
use crate::web::frame::{Frame, page};

/// A fault on its way to a page.
#[derive(Debug, Clone)]
pub(super) struct Oops(Problem);

impl<F: Fault + 'static> From<F> for Oops {
    fn from(fault: F) -> Self {
        Self(Problem::from(fault))
    }
}

impl From<Problem> for Oops {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Oops {
    /// The page itself is drawn further out, where it is known who visits.
    fn into_response(self) -> Response {
        let mut response = self.0.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Template)]
#[template(path = "oops.html")]
struct OopsPage {
    frame: Frame,
    problem: ProblemView,
}

impl Oops {
    /// The page.
    pub(super) fn draw(&self, frame: Frame) -> Response {
        let problem = self.0.view();
        let mut response = page(&OopsPage { frame: Frame { title: problem.title.clone(), ..frame }, problem });
        *response.status_mut() = self.0.status();
        if self.0.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
