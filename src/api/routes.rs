//! What is answered where.

use super::errors::Failure;
use super::handle::Api;
use super::{
    accounts, actions, channels, doctor, fences, figures, found, join, live, load, month, openapi, pieces, protect,
    queries, registry, tokens,
};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{delete, get, post, put};

/// The same, with an answer of our own where there is no such route.
pub(super) fn complaints<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(async |uri: Uri| {
            Failure::unfit(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
                .hint("see `holdfast openapi` for what there is")
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Failure::unfit(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is nothing that {} does", uri.path()))
        })
}

/// All routes.
pub(super) fn routes(api: Api) -> Router {
    complaints(all()).with_state(api)
}

fn all() -> Router<Api> {
    Router::new()
        .route("/v1/status", get(actions::status))
        .route("/v1/hosts", get(actions::hosts))
        .route("/v1/hosts/{host}", get(actions::host).delete(registry::remove_host))
        .route("/v1/hosts/{host}/fences", put(registry::set_host_fences))
        .route("/v1/hosts/{host}/live", get(live::host))
        .route("/v1/hosts/{host}/checkup", get(live::checkup_of))
        .route("/v1/hosts/{host}/off", post(fences::switch_off))
        .route("/v1/hosts/{host}/{deed}", post(actions::on_host))
        .route("/v1/vms", get(actions::vms).post(protect::protect))
        .route("/v1/vms/{vm}", get(actions::vm).delete(actions::remove))
        .route("/v1/vms/{vm}/live", get(live::vm))
        .route("/v1/vms/{vm}/start", post(actions::start))
        .route("/v1/vms/{vm}/stop", post(actions::stop))
        .route("/v1/vms/{vm}/move", get(live::moving).post(actions::move_vm))
        .route("/v1/vms/{vm}/unprotect", post(actions::unprotect))
        .route("/v1/vms/{vm}/account", put(accounts::set_account))
        .route("/v1/targets", get(accounts::targets))
        .route("/v1/targets/{tag}", put(accounts::set_target).delete(accounts::remove_target))
        .route("/v1/found", get(found::found))
        .route("/v1/found/{vm}", post(found::adopt))
        .route("/v1/policy", get(actions::policy).put(actions::set_policy))
        .route("/v1/plan", post(actions::plan))
        .route("/v1/arm", post(actions::arm))
        .route("/v1/disarm", post(actions::disarm))
        .route("/v1/recover", post(actions::recover))
        .route("/v1/doctor", get(doctor::doctor))
        .route("/v1/events", get(queries::events))
        .route("/v1/ledger", get(queries::ledger))
        .route("/v1/report/availability", get(figures::availability))
        .route("/v1/report/failovers", get(figures::failovers))
        .route("/v1/report/load", get(load::load))
        .route("/v1/report/capacity", get(load::capacity))
        .route("/v1/samples", get(pieces::pieces))
        .route("/v1/load/now", get(load::now))
        .route("/v1/report/month", get(month::made))
        .route("/v1/report/month/part", get(month::more))
        .route("/v1/datastores", get(registry::datastores).post(registry::add_datastore))
        .route("/v1/networks", get(registry::networks).post(registry::add_network))
        .route("/v1/fences", get(registry::fences).post(registry::add_fence))
        .route("/v1/fences/{fence}", delete(registry::remove_fence))
        .route("/v1/fences/{fence}/test", get(fences::test))
        .route("/v1/fences/{fence}/probe", get(fences::probe))
        .route("/v1/channels", get(channels::channels).post(channels::add))
        .route("/v1/channels/{channel}", delete(channels::remove))
        .route("/v1/channels/{channel}/{deed}", post(channels::on_channel))
        .route("/v1/fence-agents", get(registry::fence_agents))
        .route("/v1/fence-agents/{agent}", get(registry::fence_agent))
        .route("/v1/tokens", get(tokens::tokens).post(tokens::invite))
        .route("/v1/tokens/{token}", delete(tokens::revoke))
        .route("/v1/access", get(registry::accesses).post(registry::grant))
        .route("/v1/access/{print}", delete(registry::revoke))
        .route("/v1/join", post(join::join).layer(DefaultBodyLimit::max(16 * 1024)))
        .route("/openapi.json", get(openapi::document))
}
