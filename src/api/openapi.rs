//! The API's own description: what the handlers say of themselves, and what holds for all of them:
//! the key, problems, terms of changes, lines instead of pages. A handler that is listed in
//! `api.rs` is described; there is no other way to list one.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::http::answer::NDJSON;
use crate::service::view::{
    Attachment, BackupProgress, BackupView, MetadataChunk, MetadataLine, MovedChunk, NewReplica, ProblemView,
    RefusedLine, RegisteredChunk,
};

/// The name of the way to say who asks.
const KEY: &str = "key";

/// Problems that any request may meet, and those that only changes meet.
const PROBLEMS: [(&str, &str); 7] = [
    ("400", "The request says something that cannot be"),
    ("401", "The key is missing or unknown"),
    ("403", "Policy says no"),
    ("404", "Something named is not there"),
    ("429", "There were too many requests, or tries to sign in"),
    ("500", "Dapple has a defect, or stored bytes are damaged"),
    ("503", "A part is down or busy; try again"),
];
const PROBLEMS_OF_CHANGES: [(&str, &str); 4] = [
    ("409", "The lake is not what the request assumed"),
    ("413", "The body is too large"),
    ("415", "The body is of another media type"),
    ("507", "A quota or a device is full"),
];

/// What is known before any handler is.
pub(super) fn beginning() -> OpenApi {
    let info = InfoBuilder::new()
        .title("dapple")
        .version("v1")
        .description(Some("Datasets, replicas and replication rules of a lake. See docs/api.md."))
        .license(Some(
            utoipa::openapi::LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
        ));
    OpenApiBuilder::new().info(info.build()).build()
}

/// Adds what holds for all handlers.
pub(super) fn complete(mut api: OpenApi) -> OpenApi {
    let components = api.components.get_or_insert_default();
    let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("An API key")).build();
    components.add_security_scheme(KEY, SecurityScheme::Http(scheme));
    let unnamed = [
        (ProblemView::name(), ProblemView::schema()),
        // Lines of streams, which no body names.
        (NewReplica::name(), NewReplica::schema()),
        (RegisteredChunk::name(), RegisteredChunk::schema()),
        (RefusedLine::name(), RefusedLine::schema()),
        (Attachment::name(), Attachment::schema()),
        (BackupProgress::name(), BackupProgress::schema()),
        (BackupView::name(), BackupView::schema()),
        (MovedChunk::name(), MovedChunk::schema()),
        (MetadataLine::name(), MetadataLine::schema()),
        (MetadataChunk::name(), MetadataChunk::schema()),
    ];
    components.schemas.extend(unnamed.map(|(name, schema)| (name.into_owned(), schema)));
    for (status, what) in PROBLEMS.iter().chain(&PROBLEMS_OF_CHANGES).chain(&[CHANGED]) {
        components.responses.insert(name_of(status), RefOr::T(problem(what)));
    }
    api.security = Some(vec![SecurityRequirement::new(KEY, Vec::<String>::new())]);
    let paths = std::mem::take(&mut api.paths.paths);
    // A name with slashes is one parameter all the same.
    api.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), described(item))).collect();
    api
}

const CHANGED: (&str, &str) = ("412", "It was changed since the caller read it");

fn name_of(status: &str) -> String {
    format!("Problem{status}")
}

fn problem(what: &str) -> Response {
    let schema = RefOr::<Schema>::Ref(Ref::from_schema_name(ProblemView::name()));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(what).content("application/problem+json", content).build()
}

fn described(mut item: PathItem) -> PathItem {
    let all = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete, &mut item.put];
    for operation in all.into_iter().flatten() {
        for (status, _) in PROBLEMS {
            add_problem(operation, status);
        }
    }
    if let Some(get) = &mut item.get {
        describe_reading(get);
    }
    for operation in [&mut item.post, &mut item.patch, &mut item.delete, &mut item.put].into_iter().flatten() {
        describe_change(operation);
    }
    item
}

fn add_problem(operation: &mut Operation, status: &str) {
    let reference = RefOr::Ref(Ref::from_response_name(name_of(status)));
    operation.responses.responses.insert(status.to_owned(), reference);
}

/// A page may be had as lines. Handlers name 304 where what they show has an ETag.
fn describe_reading(operation: &mut Operation) {
    if let Some(RefOr::T(known)) = operation.responses.responses.get_mut("304") {
        "It is as the caller has it".clone_into(&mut known.description);
        let what = "Answer only if it is no longer as this ETag names it";
        // What is no ETag of ours is another than the present one.
        let any = ObjectBuilder::new().schema_type(Type::String).build();
        let known = parameter("If-None-Match", ParameterIn::Header, what, any);
        operation.parameters.get_or_insert_default().push(known);
    }
    let Some(RefOr::T(found)) = operation.responses.responses.get_mut("200") else { return };
    let page = found.content.get("application/json").and_then(|content| content.schema.as_ref());
    let is_page = matches!(page, Some(RefOr::Ref(page)) if page.ref_location.contains("/Page_"));
    let is_paged = operation.parameters.iter().flatten().any(|parameter| parameter.name == "after");
    if is_page && is_paged {
        let lines = ContentBuilder::new().schema(Some(text("An entry on each line"))).build();
        found.content.insert(NDJSON.to_owned(), lines);
        found.headers.insert("Link".to_owned(), header("The next page, with `rel=\"next\"`"));
    }
}

fn describe_change(operation: &mut Operation) {
    for (status, _) in PROBLEMS_OF_CHANGES {
        add_problem(operation, status);
    }
    let responses = &mut operation.responses.responses;
    if let Some(RefOr::T(made)) = responses.get("201")
        && !responses.contains_key("200")
    {
        let mut rehearsed = made.clone();
        "What would be".clone_into(&mut rehearsed.description);
        responses.insert("200".to_owned(), RefOr::T(rehearsed));
    }
    let dry_run = ObjectBuilder::new().schema_type(Type::Boolean).default(Some(false.into())).build();
    let mut terms = vec![parameter("dry_run", ParameterIn::Query, "Make every check and change nothing", dry_run)];
    // Handlers name 412 where what they change has an ETag.
    if responses.contains_key("412") {
        add_problem(operation, "412");
        terms.push(parameter("If-Match", ParameterIn::Header, "Only if it is still as this ETag names it", etag()));
    }
    operation.parameters.get_or_insert_default().extend(terms);
}

/// Adds the key to operations that are carried out once by it.
pub(super) fn with_key(mut api: OpenApi) -> OpenApi {
    for item in api.paths.paths.values_mut() {
        for operation in [&mut item.post, &mut item.patch, &mut item.delete, &mut item.put].into_iter().flatten() {
            let key = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{1,255}$")).build();
            let what = "Carries the request out once, however often it is sent";
            let key = parameter("Idempotency-Key", ParameterIn::Header, what, key);
            operation.parameters.get_or_insert_default().push(key);
        }
    }
    api
}

fn parameter(name: &str, place: ParameterIn, what: &str, schema: Object) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).description(Some(what));
    parameter.required(utoipa::openapi::Required::False).schema(Some(schema)).build()
}

fn etag() -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(r#"^("[0-9a-f.]+"|\*)$"#)).build()
}

fn text(what: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).description(Some(what)).into()
}

fn header(what: &str) -> utoipa::openapi::header::Header {
    HeaderBuilder::new().schema(text(what)).description(Some(what)).build()
}
